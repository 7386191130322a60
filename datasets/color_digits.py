"""`digits` on coloured textures by the MNIST-M recipe: a target domain that needs no download.

Differs from MNIST-M: textures are drawn, not cropped from photographs.
"""

import functools
from pathlib import Path

import torch

from dacbn.datasets.arrays import labelled
from dacbn.datasets.catalogue import DIGIT_CLASSES, DIGIT_SIZE, datasets
from dacbn.datasets.digits import SPARE, TEST, read_digits
from dacbn.datasets.images import LabelledImages, TensorImages
from dacbn.datasets.textures import blend, make_textures

CONTRAST = 0.5  # brightest texture, of the range [0, 1]: more would invert digits
GRAIN = 0.3  # noise within a texture, before it is scaled by CONTRAST: sets how hard the domain is
REPEATS = 3  # each digit on several textures: more to learn from, less noise in an accuracy
SEED = 7


@datasets.register("color_digits")
def color_digits(root: Path, train: bool, download: bool) -> LabelledImages:
    """Return 1,800 images to train on or 891 to test on; none shows a digit of `digits` train.

    Reads no files; every call returns the same pixels.
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
