"""1,797 scanned digits from scikit-learn: a source domain that needs no download."""

import functools
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dacbn.datasets.arrays import labelled
from dacbn.datasets.catalogue import DIGIT_CLASSES, DIGIT_SIZE, datasets
from dacbn.datasets.images import LabelledImages

SPLIT_SEED = 2024
# Disjoint parts: a digit that `digits` trains on must not appear in another domain.
TRAIN, SPARE, TEST = slice(0, 900), slice(900, 1500), slice(1500, None)


@functools.cache
def shuffled_rows() -> tuple[int, ...]:
    """Return a fixed permutation of scikit-learn's rows; the parts are slices of it."""
    count = len(_read_all()[1])
    return tuple(np.random.default_rng(SPLIT_SEED).permutation(count).tolist())


def read_digits(part: slice) -> tuple[Tensor, Tensor]:
    """Return one part: float images (N, 8, 8) in [0, 1] and int64 labels (N,)."""
    (images, labels), rows = _read_all(), list(shuffled_rows()[part])
    return torch.from_numpy(images[rows]).float() / 16, torch.from_numpy(labels[rows]).long()


@functools.cache
def _read_all() -> tuple[NDArray[Any], NDArray[Any]]:
    """Return all images (N, 8, 8) of 0 to 16, and labels (N,).

    They are read from scikit-learn's file where it is known, as its import takes a second.
    """
    found = find_spec("sklearn")
    file = Path(str(found and found.origin)).with_name("datasets") / "data" / "digits.csv.gz"
    if file.exists():
        table = np.loadtxt(file, np.uint8, delimiter=",")
        return table[:, :-1].reshape(-1, 8, 8), table[:, -1]
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return bunch.images, bunch.target


@datasets.register("digits")
def digits(root: Path, train: bool, download: bool) -> LabelledImages:
    """Return 900 training or 297 test digits, 32x32, white on black; reads no dataset files."""
    images, labels = read_digits(TRAIN if train else TEST)
    return labelled(images, labels, DIGIT_CLASSES, DIGIT_SIZE)
