"""Convert a dataset name, a folder, arrays, image files or a domain to a domain."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from dacbn.datasets.arrays import labelled, resize, unlabelled
from dacbn.datasets.decoding import OnUnreadable
from dacbn.datasets.folders import read_files
from dacbn.datasets.images import (
    FileImages,
    Images,
    LabelledImages,
    TensorImages,
    UnlabelledImages,
)
from dacbn.datasets.load import (
    PHOTO_SIZE,
    load_labelled,
    load_unlabelled,
    natural_size,
    view_family,
)
from dacbn.datasets.transforms import Family

Array: TypeAlias = NDArray[np.generic] | Tensor
LabelledLike: TypeAlias = LabelledImages | tuple[Array, ArrayLike | Tensor] | str | Path
UnlabelledLike: TypeAlias = LabelledLike | UnlabelledImages | Array | Sequence[str | Path]


def to_labelled(
    data: LabelledLike,
    size: int,
    train: bool,
    classes: Sequence[str] | None = None,
    **options: Any,
) -> LabelledImages:
    """Convert a name, a folder, a pair (images, labels) or a labelled domain.

    Args:
        data: the data to convert.
        size: pixels per side of the result.
        train: for a name or folder, whether to load the training part; otherwise the test part.
        classes: for a pair, the name of every class, since labels may not contain all of them.
        options: for a name or folder, other arguments of `load_labelled`.

    Raises:
        ValueError: `data` has no labels or an unknown type, or cannot be read.
    """
    if isinstance(data, str | Path):
        return load_labelled(data, train=train, size=size, **options)
    if isinstance(data, LabelledImages):
        return LabelledImages(_fit(data.images, size), data.labels, data.classes)
    if isinstance(data, tuple) and len(data) == 2:
        return labelled(*data, classes=classes, size=size)
    raise ValueError(
        f"cannot take labelled images from {type(data).__name__}: pass a dataset's name, a folder, "
        "a pair (images, labels), or LabelledImages"
    )


def to_unlabelled(data: UnlabelledLike, size: int, train: bool, **options: Any) -> UnlabelledImages:
    """Convert to an unlabelled domain, without the labels that `data` may have.

    Accepts what `to_labelled` accepts, arrays of images, unlabelled domains, and lists of image
    files. A broken file in a list is skipped in training only: predictions need every file.

    Raises:
        ValueError: `data` has an unknown type or cannot be read.
    """
    if isinstance(data, str | Path):
        return load_unlabelled(data, train=train, size=size, **options)
    if isinstance(data, LabelledImages | UnlabelledImages):
        return UnlabelledImages(_fit(data.images, size))
    if isinstance(data, np.ndarray | Tensor):
        return unlabelled(data, size=size)
    if isinstance(data, tuple) and len(data) == 2 and isinstance(data[0], np.ndarray | Tensor):
        return unlabelled(data[0], size=size)
    if isinstance(data, Sequence) and data and all(isinstance(item, str | Path) for item in data):
        reaction: OnUnreadable = options.get("on_unreadable", "skip") if train else "raise"
        return read_files([Path(str(item)) for item in data], size, reaction)[0]
    raise ValueError(
        f"cannot take images from {type(data).__name__}: pass a dataset's name, a folder, an array "
        "or tensor of images, or a list of image files"
    )


def size_of(data: LabelledLike | UnlabelledLike) -> int:
    """Return the pixels per side of `data`; the default size of photos for a list of files."""
    if isinstance(data, str | Path):
        return natural_size(data)
    if isinstance(data, LabelledImages | UnlabelledImages):
        return data.images.size
    images = data[0] if isinstance(data, tuple) else data
    if isinstance(images, np.ndarray | Tensor) and images.ndim > 2:
        channels_first = images.ndim == 4 and images.shape[1] in (1, 3)
        return int(images.shape[2 if channels_first else 1])
    return PHOTO_SIZE


def choose_family(*domains: LabelledLike | UnlabelledLike) -> Family:
    """Choose the augmentation family: "photos" if all domains are folders, else "digits"."""
    folders = (isinstance(data, str | Path) and view_family(data) == "photos" for data in domains)
    return "photos" if all(folders) else "digits"


def _fit(images: Images, size: int) -> Images:
    if images.size == size:
        return images
    if isinstance(images, FileImages):  # may be too large for memory
        return FileImages(images.paths, size)
    return TensorImages(resize(images.gather(torch.arange(len(images))), size))
