"""1,797 scanned digits that ship with scikit-learn: a source domain that needs no download."""

import functools
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor

from dacbn.datasets.arrays import labelled
from dacbn.datasets.catalogue import DIGIT_CLASSES, DIGIT_SIZE, datasets
from dacbn.datasets.images import LabelledImages

SPLIT_SEED = 2024
# Three disjoint parts, so that no other domain shows a digit which `digits` trains on.
TRAIN, SPARE, TEST = slice(0, 900), slice(900, 1500), slice(1500, None)


@functools.cache
def shuffled_rows() -> tuple[int, ...]:
    """Return scikit-learn's row of each digit, in the fixed order that the parts cut up."""
    count = len(load_digits().target)
    return tuple(np.random.default_rng(SPLIT_SEED).permutation(count).tolist())


def read_digits(part: slice) -> tuple[Tensor, Tensor]:
    """Return one part: float images (N, 8, 8) in [0, 1] and int64 labels (N,)."""
    bunch, rows = load_digits(), list(shuffled_rows()[part])
    images = torch.from_numpy(bunch.images[rows]).float() / 16
    return images, torch.from_numpy(bunch.target[rows]).long()


@datasets.register("digits")
def digits(root: Path, train: bool, download: bool) -> LabelledImages:
    """Return 900 digits to train on or 297 to test on, 32x32, white on black; reads no files."""
    images, labels = read_digits(TRAIN if train else TEST)
    return labelled(images, labels, DIGIT_CLASSES, DIGIT_SIZE)
