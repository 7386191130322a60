"""1,797 scanned digits from scikit-learn: a source domain that needs no download."""

import functools
from pathlib import Path

import numpy as np
import torch
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
    from sklearn.datasets import load_digits

    count = len(load_digits().target)
    return tuple(np.random.default_rng(SPLIT_SEED).permutation(count).tolist())


def read_digits(part: slice) -> tuple[Tensor, Tensor]:
    """Return one part: float images (N, 8, 8) in [0, 1] and int64 labels (N,)."""
    from sklearn.datasets import load_digits

    bunch, rows = load_digits(), list(shuffled_rows()[part])
    images = torch.from_numpy(bunch.images[rows]).float() / 16
    return images, torch.from_numpy(bunch.target[rows]).long()


@datasets.register("digits")
def digits(root: Path, train: bool, download: bool) -> LabelledImages:
    """Return 900 training or 297 test digits, 32x32, white on black; reads no dataset files."""
    images, labels = read_digits(TRAIN if train else TEST)
    return labelled(images, labels, DIGIT_CLASSES, DIGIT_SIZE)
