"""Convert a dataset name, a path, arrays, image files, a dataset or a domain to a domain."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import ArrayLike
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from dacbn.datasets.arrays import labelled, resize, size_of_array, unlabelled
from dacbn.datasets.class_sets import match_classes
from dacbn.datasets.folders import read_each
from dacbn.datasets.hugging_face import HubDataset, is_hugging_face
from dacbn.datasets.images import (
    FileImages,
    Images,
    LabelledImages,
    TensorImages,
    UnlabelledImages,
)
from dacbn.datasets.labels import number_labels, number_open_labels
from dacbn.datasets.listing import list_images
from dacbn.datasets.load import (
    PHOTO_SIZE,
    load_labelled,
    load_unlabelled,
    natural_size,
    view_family,
)
from dacbn.datasets.map_style import dataset_of, is_map_style, read_map_style, size_of_items
from dacbn.datasets.packed import ImageFile
from dacbn.datasets.packed_folders import rows_of
from dacbn.datasets.recognise import (
    Array,
    files_in,
    is_array,
    is_image_folder,
    is_pair,
    items_in,
    names_in,
    refusal,
    refusal_without_labels,
)
from dacbn.datasets.transforms import Family

ManyImages: TypeAlias = Array | Sequence[str | Path] | Sequence[Image.Image]
LabelledLike: TypeAlias = (
    LabelledImages
    | tuple[ManyImages, ArrayLike | Tensor]
    | Dataset[Any]
    | DataLoader[Any]
    | HubDataset
    | str
    | Path
)
UnlabelledLike: TypeAlias = LabelledLike | UnlabelledImages | ManyImages | Image.Image


def to_labelled(
    data: LabelledLike,
    size: int,
    train: bool,
    classes: Sequence[str] | None = None,
    unknown: bool = False,
    **options: Any,
) -> LabelledImages:
    """Convert a name, a path, a pair (images or files, labels), a dataset or a labelled domain.

    A dataset of torch or torchvision is read once, in its order; a DataLoader gives its dataset.

    Args:
        data: the data to convert.
        size: pixels per side of the result.
        train: for a name or folder, whether to load the training part; otherwise the test part.
        classes: the name of every class of the result, since the data may not contain all of them;
            by default those of the data.
        unknown: take classes that are not among `classes`: all of them become one, "unknown".
        options: other arguments of `load_labelled`.

    Raises:
        ValueError: `data` has no labels, an unknown type, other classes than `classes` or, to be
            trained on, a single class; or it cannot be read.
    """
    domain = _to_labelled(data, size, train, classes, options, unknown)
    if train and len(domain.classes) == 1:
        raise ValueError(f"the source has only one class, {domain.classes[0]!r}: add another")
    return domain if classes is None else match_classes(domain, classes, unknown)


def _to_labelled(
    data: LabelledLike,
    size: int,
    train: bool,
    classes: Sequence[str] | None,
    options: dict[str, Any],
    unknown: bool = False,
) -> LabelledImages:
    if isinstance(data, str | Path):
        return load_labelled(data, train=train, size=size, **options)
    if isinstance(data, LabelledImages):
        return LabelledImages(_fit(data.images, size), data.labels, data.classes)
    if isinstance(data, DataLoader):
        data = dataset_of(data)
    fit = options.get("fit", "crop")
    images: Any
    labels: Any
    if is_hugging_face(data):
        images, labels = rows_of(data, train)
        if labels is None:
            raise ValueError(
                "the dataset has no labels: add a ClassLabel column, or give it as a target"
            )
    elif is_image_folder(data):
        images, labels = files_in(data) or [], names_in(data)
    elif is_map_style(data):
        images, labels = read_map_style(data, size, fit)
        if not labels:
            raise refusal_without_labels(data)
    elif is_pair(data):
        images, labels = data
    else:
        raise refusal_without_labels(data)
    if unknown and classes is not None:
        labels, classes = number_open_labels(labels, classes)
    if isinstance(images, TensorImages):
        return LabelledImages(images, *number_labels(labels, classes))
    if items := items_in(images):
        return _read_labelled_items(items, labels, size, classes, options)
    return labelled(_to_array(images), labels, classes, size, fit)


def to_unlabelled(data: UnlabelledLike, size: int, train: bool, **options: Any) -> UnlabelledImages:
    """Convert to an unlabelled domain, without the labels that `data` may have.

    Accepts what `to_labelled` accepts, arrays of images, unlabelled domains, lists of image files,
    pictures of Pillow, datasets of images, and one picture or array (H, W, 3).

    Raises:
        ValueError: `data` has an unknown type or cannot be read.
    """
    if isinstance(data, str | Path):
        return load_unlabelled(data, train=train, size=size, **options)
    if isinstance(data, LabelledImages | UnlabelledImages):
        return UnlabelledImages(_fit(data.images, size))
    if is_hugging_face(data):
        return UnlabelledImages(_read_items(rows_of(data, train).files, size, options)[0])
    images = without_labels(data)
    if is_map_style(images):
        return UnlabelledImages(read_map_style(images, size, options.get("fit", "crop"))[0])
    if (items := items_in(images)) is None:
        return unlabelled(_to_array(images), size, options.get("fit", "crop"))
    if files := files_in(images):
        items = list_images(*files)
    return UnlabelledImages(_read_items(items, size, options)[0])


def without_labels(data: Any) -> Any:
    """Return the images of a pair (images, labels), and anything else as it is.

    Of a DataLoader its dataset is returned.
    """
    if isinstance(data, DataLoader):
        return dataset_of(data)
    if not isinstance(data, tuple) or len(data) != 2 or items_in(data):
        return data
    two_images = is_array(data[1]) and len(data[1].shape) > 2
    return data if two_images else data[0]


def size_of(data: LabelledLike | UnlabelledLike) -> int:
    """Return the pixels per side of `data`; the default size of photos for files and pictures."""
    if isinstance(data, str | Path):
        return natural_size(data)
    if isinstance(data, LabelledImages | UnlabelledImages):
        return data.images.size
    images = without_labels(data)
    if is_map_style(images):
        return size_of_items(images, PHOTO_SIZE)
    if is_array(images) and len(images.shape) in (3, 4):
        return size_of_array(tuple(images.shape))
    return PHOTO_SIZE


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


def _to_array(images: Any) -> Array:
    """Return any array as one of NumPy or torch."""
    if not is_array(images):
        raise refusal(images)
    if isinstance(images, Tensor | np.ma.MaskedArray):  # whose mask `asarray` would drop
        return images
    return np.asarray(images)


def _read_labelled_items(
    items: Sequence[ImageFile] | Sequence[Image.Image],
    labels: ArrayLike | Tensor,
    size: int,
    classes: Sequence[str] | None,
    options: dict[str, Any],
) -> LabelledImages:
    positions, names = number_labels(labels, classes)
    if positions.shape != (len(items),):
        raise ValueError(f"{len(items)} files have labels of shape {tuple(positions.shape)}")
    if (files := files_in(items)) and list_images(*files) != files:
        raise ValueError("a folder or list among the files: give each image file and its label")
    images, readable = _read_items(items, size, options)
    return LabelledImages(images, positions[readable], names)


def _read_items(
    items: Sequence[ImageFile] | Sequence[Image.Image], size: int, options: dict[str, Any]
) -> tuple[Images, Tensor]:
    """Read files or pictures; return the images, and which can be read: bool (N,)."""
    defaults = {"on_unreadable": "skip", "fit": "crop", "cache": "none"}
    reading = {name: options.get(name, default) for name, default in defaults.items()}
    images, reasons = read_each(items, size, **reading)
    if not len(images):
        raise ValueError(f"none of {len(items)} images can be read: {reasons[0]}")
    return images, torch.tensor([reason is None for reason in reasons])
