"""`digits` blended with coloured textures as in MNIST-M: a target domain without any download.

Differs from MNIST-M: textures are generated, not cropped from photographs.
"""

import functools
from pathlib import Path

import torch

from dacbn.datasets.arrays import labelled
from dacbn.datasets.catalogue import DIGIT_CLASSES, DIGIT_SIZE, datasets
from dacbn.datasets.digits import SPARE, TEST, read_digits
from dacbn.datasets.images import LabelledImages, TensorImages
from dacbn.datasets.textures import blend, make_textures

CONTRAST = 0.5  # brightness of the brightest texture in [0, 1]; more would invert digits
GRAIN = 0.3  # noise of a texture, before scaling by CONTRAST: more makes the domain harder
REPEATS = 3  # textures per digit: more training data, less noise in accuracies
SEED = 7


@datasets.register("color_digits")
def color_digits(root: Path, train: bool, download: bool) -> LabelledImages:
    """Return scikit-learn's digits over coloured textures: 1,800 training or 891 test images.

    They are 32x32, and none shows a training digit of `digits`. Reads no files; every call returns
    the same pixels.
    """
    return _make(train)


@functools.cache
def _make(train: bool) -> LabelledImages:
    images, labels = read_digits(SPARE if train else TEST)
    plain = labelled(
        images.repeat(REPEATS, 1, 1), labels.repeat(REPEATS), DIGIT_CLASSES, DIGIT_SIZE
    )
    generator = torch.Generator().manual_seed(SEED + train)
    textures = CONTRAST * make_textures(len(plain), DIGIT_SIZE, GRAIN, generator)
    digits = plain.images.gather(torch.arange(len(plain)))
    pixels = blend((textures * 255).round().to(torch.uint8), digits)
    return LabelledImages(TensorImages(pixels), plain.labels, DIGIT_CLASSES)
