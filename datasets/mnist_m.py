"""MNIST-M: MNIST digits blended with patches of photographs.

Ganin et al., "Domain-Adversarial Training of Neural Networks", JMLR 2016
(https://arxiv.org/abs/1505.07818).

Row i of MNIST-M shows row i of MNIST (row i + 1 in the train file from its fourth row on), so that
`mnist` to `mnist_m` on the same split is a paired experiment: each target image shows a digit that
the source contains with its label. For an unpaired experiment choose disjoint rows.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dacbn.datasets.archives import check_shape, reading, whole_labels
from dacbn.datasets.arrays import labelled
from dacbn.datasets.catalogue import DIGIT_CLASSES, DIGIT_SIZE, datasets
from dacbn.datasets.decoding import SUFFIXES, decode
from dacbn.datasets.images import LabelledImages
from dacbn.datasets.mnist import read_mnist
from dacbn.datasets.textures import blend

FILES = {True: "mnist_m_train10000.npz", False: "mnist_m_test9001.npz"}
TEXTURE_FOLDERS = ("mnist_m/textures", "BSR")  # BSR: BSDS500 as its archive unpacks
TEXTURE_PIXELS = 320  # per side; the shorter side of a BSDS500 photograph is 321
SEED = 13


@datasets.register("mnist_m")
def mnist_m(root: Path, train: bool, download: bool) -> LabelledImages:
    """Return MNIST-M, 32x32, from `root/mnist_m`, or make it from MNIST and photographs.

    Raises:
        FileNotFoundError: both the file and the photographs are missing, or MNIST is.
        ValueError: the file is damaged.
    """
    path = root / "mnist_m" / FILES[train]
    if not path.is_file():
        return _build(_find_photographs(root, path), root, train, download)
    with reading(path), np.load(path) as content:
        images = content["x"]
        check_shape(images, (DIGIT_SIZE, DIGIT_SIZE, 3))
        return labelled(images, whole_labels(content["y"], 0, 9), DIGIT_CLASSES)


def _find_photographs(root: Path, wanted: Path) -> list[Path]:
    for folder in TEXTURE_FOLDERS:
        files = (root / folder).rglob("*")
        if found := sorted(file for file in files if file.suffix.lower() in SUFFIXES):
            return found
    raise FileNotFoundError(
        f"{wanted} is missing: place it there, or place photographs (such as BSDS500) in "
        f"{root / TEXTURE_FOLDERS[0]} to make MNIST-M from MNIST"
    )


def _build(photographs: list[Path], root: Path, train: bool, download: bool) -> LabelledImages:
    digits, labels = read_mnist(root, train, download)
    images = torch.stack([decode(path, TEXTURE_PIXELS) for path in photographs])
    generator = torch.Generator().manual_seed(SEED + train)
    crops = _crop(images, len(digits), generator)
    return labelled(blend(crops, digits.unsqueeze(1)), labels, DIGIT_CLASSES)


def _crop(images: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Crop `count` random squares of side DIGIT_SIZE from square uint8 images (N, 3, S, S).

    Returns:
        uint8 (count, 3, DIGIT_SIZE, DIGIT_SIZE).
    """
    corners = torch.randint(images.shape[-1] - DIGIT_SIZE + 1, (count, 2, 1), generator=generator)
    chosen = torch.randint(len(images), (count, 1, 1), generator=generator)
    rows, columns = (corners + torch.arange(DIGIT_SIZE)).unbind(1)
    return images[chosen, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
