"""Convert a dataset name, a folder, arrays, image files or a domain to a domain."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias, TypeGuard

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from torch import Tensor

from dacbn.datasets.arrays import labelled, resize, unlabelled
from dacbn.datasets.decoding import to_rgb
from dacbn.datasets.fitting import Fit, make_square
from dacbn.datasets.folders import read_files
from dacbn.datasets.images import (
    FileImages,
    Images,
    LabelledImages,
    TensorImages,
    UnlabelledImages,
)
from dacbn.datasets.labels import number_labels
from dacbn.datasets.load import (
    PHOTO_SIZE,
    load_labelled,
    load_unlabelled,
    match_classes,
    natural_size,
    view_family,
)
from dacbn.datasets.many_files import OnUnreadable
from dacbn.datasets.transforms import Family

Array: TypeAlias = NDArray[np.generic] | Tensor
LabelledLike: TypeAlias = (
    LabelledImages | tuple[Array | Sequence[str | Path], ArrayLike | Tensor] | str | Path
)
UnlabelledLike: TypeAlias = LabelledLike | UnlabelledImages | Array | Sequence[str | Path]


def to_labelled(
    data: LabelledLike,
    size: int,
    train: bool,
    classes: Sequence[str] | None = None,
    **options: Any,
) -> LabelledImages:
    """Convert a name, a folder, a pair (images or files, labels) or a labelled domain.

    Args:
        data: the data to convert.
        size: pixels per side of the result.
        train: for a name or folder, whether to load the training part; otherwise the test part.
        classes: the name of every class of the result, since the data may not contain all of them;
            by default those of the data.
        options: other arguments of `load_labelled`.

    Raises:
        ValueError: `data` has no labels, an unknown type, other classes than `classes` or, to be
            trained on, a single class; or it cannot be read.
    """
    domain = _to_labelled(data, size, train, classes, options)
    if train and len(domain.classes) == 1:
        raise ValueError(f"the source has only one class, {domain.classes[0]!r}: add another")
    return domain if classes is None else match_classes(domain, classes)


def _to_labelled(
    data: LabelledLike,
    size: int,
    train: bool,
    classes: Sequence[str] | None,
    options: dict[str, Any],
) -> LabelledImages:
    if isinstance(data, str | Path):
        return load_labelled(data, train=train, size=size, **options)
    if isinstance(data, LabelledImages):
        return LabelledImages(_fit(data.images, size), data.labels, data.classes)
    if isinstance(data, tuple) and len(data) == 2:
        images, labels = data
        if _are_files(images):
            positions, names = number_labels(labels, classes)
            if positions.shape != (len(images),):
                raise ValueError(
                    f"{len(images)} files have labels of shape {tuple(positions.shape)}"
                )
            domain, rows = _read_list(images, size, train, options)
            return LabelledImages(domain.images, positions[rows], names)
        return labelled(_to_array(images, size, options), labels, classes, size, _fit_of(options))
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
    pair = isinstance(data, tuple) and len(data) == 2 and _has_labels(data)
    images: Any = data[0] if pair else data
    if _are_files(images):
        return _read_list(images, size, train, options)[0]
    if _is_array(images) or _are_pictures(images):
        return unlabelled(_to_array(images, size, options), size, _fit_of(options))
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
    if _is_array(images) and len(images.shape) > 2:
        channels_first = len(images.shape) == 4 and images.shape[1] in (1, 3)
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
        return FileImages(images.paths, size, images.fit)
    return TensorImages(resize(images.gather(torch.arange(len(images))), size))


def _fit_of(options: dict[str, Any]) -> Fit:
    fit: Fit = options.get("fit", "crop")
    return fit


def _is_array(data: Any) -> TypeGuard[Array]:
    """Whether this is an array of NumPy, torch, h5py, zarr or alike."""
    return hasattr(data, "__array__") and hasattr(data, "shape")


def _are_files(data: Any) -> TypeGuard[Sequence[str | Path]]:
    return _are_all(data, str | Path)


def _are_pictures(data: Any) -> bool:
    return _are_all(data, Image.Image)


def _are_all(data: Any, kind: Any) -> bool:
    return (
        isinstance(data, Sequence) and bool(data) and all(isinstance(each, kind) for each in data)
    )


def _has_labels(pair: tuple[Any, Any]) -> bool:
    """Whether a pair is one of images and labels, and not two files or pictures."""
    return _is_array(pair[0]) or (isinstance(pair[0], Sequence) and not isinstance(pair[0], str))


def _to_array(images: Any, size: int, options: dict[str, Any]) -> Array:
    """Return any array as one of NumPy or torch; decode pictures of Pillow."""
    if _are_pictures(images):
        squares = (make_square(to_rgb(picture), size, _fit_of(options)) for picture in images)
        return np.stack([np.asarray(square) for square in squares])
    if isinstance(images, Tensor | np.ma.MaskedArray):  # whose mask `asarray` would drop
        return images
    return np.asarray(images)


def _read_list(
    paths: Sequence[str | Path], size: int, train: bool, options: dict[str, Any]
) -> tuple[UnlabelledImages, Tensor]:
    """Read files; return the images, and which of the paths they are."""
    files = [Path(str(path)) for path in paths]
    reaction: OnUnreadable = options.get("on_unreadable", "skip") if train else "raise"
    domain, kept = read_files(files, size, reaction, _fit_of(options))
    good = set(kept)
    return domain, torch.tensor([row for row, file in enumerate(files) if file in good])
