"""Convert a dataset name, a folder, arrays, image files or a domain to a domain."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import ArrayLike
from PIL import Image
from torch import Tensor
from torchvision.datasets import ImageFolder

from dacbn.datasets.arrays import labelled, resize, size_of_array, unlabelled
from dacbn.datasets.decoding import to_rgb
from dacbn.datasets.fitting import Fit, make_square
from dacbn.datasets.folders import list_images, read_files
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
from dacbn.datasets.recognise import (
    Array,
    files_in,
    is_array,
    names_in,
    pictures_in,
    refusal,
)
from dacbn.datasets.transforms import Family

ManyImages: TypeAlias = Array | Sequence[str | Path] | Sequence[Image.Image]
LabelledLike: TypeAlias = (
    LabelledImages | tuple[ManyImages, ArrayLike | Tensor] | ImageFolder | str | Path
)
UnlabelledLike: TypeAlias = LabelledLike | UnlabelledImages | ManyImages | Image.Image


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
    if isinstance(data, ImageFolder):
        data = (files_in(data) or [], names_in(data))
    if not isinstance(data, tuple) or len(data) != 2:
        raise refusal(data, "labelled images")
    images, labels = data
    if files := files_in(images):
        return _read_labelled_files(files, labels, size, classes, options)
    array = _to_array(images, size, _fit_of(options))
    return labelled(array, labels, classes, size, _fit_of(options))


def to_unlabelled(data: UnlabelledLike, size: int, train: bool, **options: Any) -> UnlabelledImages:
    """Convert to an unlabelled domain, without the labels that `data` may have.

    Accepts what `to_labelled` accepts, arrays of images, unlabelled domains, lists of image files,
    pictures of Pillow, and one picture or array (H, W, 3).

    Raises:
        ValueError: `data` has an unknown type or cannot be read.
    """
    if isinstance(data, str | Path):
        return load_unlabelled(data, train=train, size=size, **options)
    if isinstance(data, LabelledImages | UnlabelledImages):
        return UnlabelledImages(_fit(data.images, size))
    images = without_labels(data)
    if files := files_in(images):
        reaction = options.get("on_unreadable", "skip")
        return read_files(files, size, reaction, _fit_of(options))[0]
    return unlabelled(_to_array(images, size, _fit_of(options)), size, _fit_of(options))


def without_labels(data: Any) -> Any:
    """Return the images of a pair (images, labels), and anything else as it is."""
    pair = isinstance(data, tuple) and len(data) == 2 and not files_in(data)
    return data[0] if pair and not pictures_in(data) else data


def size_of(data: LabelledLike | UnlabelledLike) -> int:
    """Return the pixels per side of `data`; the default size of photos for files and pictures."""
    if isinstance(data, str | Path):
        return natural_size(data)
    if isinstance(data, LabelledImages | UnlabelledImages):
        return data.images.size
    images = without_labels(data)
    return size_of_array(tuple(images.shape)) if is_array(images) else PHOTO_SIZE


def choose_family(*domains: LabelledLike | UnlabelledLike) -> Family:
    """Choose the augmentation family: "photos" if all domains are files, else "digits"."""
    return "photos" if all(map(_are_photos, domains)) else "digits"


def _are_photos(data: LabelledLike | UnlabelledLike) -> bool:
    if isinstance(data, str | Path):
        return view_family(data) == "photos"
    return files_in(without_labels(data)) is not None


def _fit(images: Images, size: int) -> Images:
    if images.size == size:
        return images
    if isinstance(images, FileImages):  # may be too large for memory
        return FileImages(images.paths, size, images.fit)
    return TensorImages(resize(images.gather(torch.arange(len(images))), size))


def _fit_of(options: dict[str, Any]) -> Fit:
    fit: Fit = options.get("fit", "crop")
    return fit


def _to_array(images: Any, size: int, fit: Fit) -> Array:
    """Return any array as one of NumPy or torch; decode pictures of Pillow."""
    if pictures := pictures_in(images):
        squares = (make_square(to_rgb(picture), size, fit) for picture in pictures)
        return np.stack([np.asarray(square) for square in squares])
    if not is_array(images):
        raise refusal(images)
    if isinstance(images, Tensor | np.ma.MaskedArray):  # whose mask `asarray` would drop
        return images
    return np.asarray(images)


def _read_labelled_files(
    files: list[Path],
    labels: ArrayLike | Tensor,
    size: int,
    classes: Sequence[str] | None,
    options: dict[str, Any],
) -> LabelledImages:
    positions, names = number_labels(labels, classes)
    if positions.shape != (len(files),):
        raise ValueError(f"{len(files)} files have labels of shape {tuple(positions.shape)}")
    if list_images(*files) != files:
        raise ValueError("a folder or list among the files: give each image file and its label")
    reaction = options.get("on_unreadable", "skip")
    domain, kept = read_files(files, size, reaction, _fit_of(options))
    good = set(kept)
    rows = [row for row, file in enumerate(files) if file in good]
    return LabelledImages(domain.images, positions[rows], names)
