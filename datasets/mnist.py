"""MNIST: 60,000 and 10,000 handwritten digits. LeCun et al., Proc. IEEE 1998."""

import gzip
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from dacbn.datasets.archives import find_archive, reading, whole_labels
from dacbn.datasets.arrays import labelled
from dacbn.datasets.catalogue import DIGIT_CLASSES, datasets
from dacbn.datasets.images import LabelledImages

BYTES = 8  # the code of their type in the header


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
    images_path, images = _read_idx(root, f"{part}-images-idx3-ubyte", (28, 28), download)
    labels_path, labels = _read_idx(root, f"{part}-labels-idx1-ubyte", (), download)
    with reading(labels_path):
        whole_labels(labels, 0, 9)
        if len(images) != len(labels):
            raise ValueError(f"it has {len(labels)} labels, and {images_path} {len(images)} images")
    return F.pad(torch.from_numpy(images), (2, 2, 2, 2)), torch.from_numpy(labels).long()


def _read_idx(
    root: Path, name: str, shape: tuple[int, ...], download: bool
) -> tuple[Path, NDArray[np.uint8]]:
    """Read an idx file: the unpacked file if it exists, otherwise the .gz file.

    torchvision cannot read the .gz file and unpacks it, but the folder may be read-only.
    """
    from torchvision.datasets import MNIST

    path = root / "MNIST" / "raw" / name
    if not path.is_file():
        file, md5 = next(entry for entry in MNIST.resources if entry[0].startswith(name))
        urls = [mirror + file for mirror in MNIST.mirrors]
        path = find_archive(path.with_name(file), urls, md5, download)
    with reading(path):
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        dimensions = 1 + len(shape)
        header = 4 + 4 * dimensions
        sizes = tuple(np.frombuffer(data[4:header], ">u4").tolist())
        if data[:4] != bytes([0, 0, BYTES, dimensions]) or sizes[1:] != shape:
            raise ValueError(f"its header is not that of bytes of shape {('N', *shape)}")
        values = np.frombuffer(bytearray(data), np.uint8, offset=header)
        return path, values.reshape(sizes)
