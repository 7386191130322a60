"""MNIST: 60,000 and 10,000 handwritten digits. LeCun et al., Proc. IEEE 1998."""

import gzip
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torchvision.datasets import MNIST

from dacbn.datasets.archives import find_archive, reading
from dacbn.datasets.arrays import labelled
from dacbn.datasets.catalogue import DIGIT_CLASSES, datasets
from dacbn.datasets.images import LabelledImages

IMAGES_HEADER, LABELS_HEADER = 16, 8  # bytes


@datasets.register("mnist")
def mnist(root: Path, train: bool, download: bool) -> LabelledImages:
    """Return MNIST from `root/MNIST/raw`, 28x28 zero-padded to 32x32.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is damaged.
    """
    images, labels = read_mnist(root, train, download)
    return labelled(images, labels, DIGIT_CLASSES)


def read_mnist(root: Path, train: bool, download: bool) -> tuple[Tensor, Tensor]:
    """Return uint8 images (N, 32, 32) and int64 labels (N,) in the published order."""
    part = "train" if train else "t10k"
    images = _read_idx(root, f"{part}-images-idx3-ubyte", IMAGES_HEADER, (28, 28), download)
    labels = _read_idx(root, f"{part}-labels-idx1-ubyte", LABELS_HEADER, (), download)
    return F.pad(torch.from_numpy(images), (2, 2, 2, 2)), torch.from_numpy(labels).long()


def _read_idx(
    root: Path, name: str, header: int, shape: tuple[int, ...], download: bool
) -> NDArray[np.uint8]:
    """Read an idx file: the unpacked file if it exists, otherwise the .gz file.

    torchvision cannot read the .gz file and unpacks it, but the folder may be read-only.
    """
    path = root / "MNIST" / "raw" / name
    if not path.is_file():
        file, md5 = next(entry for entry in MNIST.resources if entry[0].startswith(name))
        urls = [mirror + file for mirror in MNIST.mirrors]
        path = find_archive(path.with_name(file), urls, md5, download)
    with reading(path):
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        return np.frombuffer(bytearray(data), np.uint8, offset=header).reshape(-1, *shape)
