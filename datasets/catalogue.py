"""The registered datasets: one file and one decorated function each."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from dacbn.datasets.images import LabelledImages
from dacbn.registry import Registry

Loader: TypeAlias = Callable[[Path, bool, bool], LabelledImages]
"""A function of (root, train, download)."""

DIGIT_CLASSES = tuple("0123456789")
DIGIT_SIZE = 32  # pixels per side of every registered dataset

datasets: Registry[Loader] = Registry("dataset")
