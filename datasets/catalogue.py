"""The registry of datasets: each is one decorated function in its own file."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from dacbn.datasets.images import LabelledImages
from dacbn.registry import Registry

Loader: TypeAlias = Callable[[Path, bool, bool], LabelledImages]
"""Called as `loader(root, train, download)`."""

DIGIT_CLASSES = tuple("0123456789")
DIGIT_SIZE = 32  # pixels per side of every registered dataset

datasets: Registry[Loader] = Registry("dataset", "dacbn.datasets")
