"""Recognise what a user holds: files, pictures or an array; the rest is refused with its cure."""

import io
import sys
from collections.abc import Iterator, KeysView, Mapping, Sequence, ValuesView
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from dacbn.datasets.hugging_face import is_hugging_face
from dacbn.datasets.packed import ImageFile, PackedFile
from dacbn.datasets.packed_folders import rows_of

if TYPE_CHECKING:
    from torchvision.datasets import ImageFolder

Array: TypeAlias = NDArray[np.generic] | Tensor

TAKEN = (
    "a dataset's name, a folder, image files, pictures of Pillow, an array of images, or a dataset "
    "of torch"
)
TAKEN_WITH_LABELS = (
    "a dataset's name, a folder with one sub-folder per class, a pair (images, labels), a dataset "
    "of torch with labels, or LabelledImages"
)
PICTURES_OF_TENSORS = (
    "[to_pil_image(image) for image in images], of torchvision.transforms.v2.functional"
)
NO_LIST = (str, bytes, bytearray, memoryview)  # are sequences for Python
CURES: list[tuple[Any, str]] = [
    (DataLoader, "torch.cat([images for images, *_ in loader])"),  # of an IterableDataset
    (IterableDataset, "[image for image, *_ in dataset], of a dataset without transforms"),
    (str | Path, "([file], [label]) of one image file"),  # as the images of a pair
    (Tensor, PICTURES_OF_TENSORS),  # a nested one
    (bytes | bytearray, "PIL.Image.open(io.BytesIO(content))"),
    (memoryview, "np.asarray(images)"),
    (set | frozenset, "sorted(images)"),
    (Mapping, "the images in it, as in data['image']"),
    (io.IOBase, "PIL.Image.open(file)"),
    (Iterator | KeysView | ValuesView, "list(images)"),
]
CURES_BY_ATTRIBUTE = [
    ("toarray", "images.toarray().reshape(-1, height, width)"),  # of scipy.sparse
    ("columns", "a column of files, as in table['file']"),
]


def items_in(data: Any) -> list[ImageFile] | list[Image.Image] | None:
    """Return the files or pictures that this names or holds; None if it is something else."""
    return files_in(data) or pictures_in(data)


def files_in(data: Any) -> list[ImageFile] | None:
    """Return the files that a list, text array, ImageFolder or dataset names; None of others."""
    if is_hugging_face(data):
        return [*rows_of(data, train=False).files]
    if is_image_folder(data):
        return [Path(path) for path, _ in data.samples]
    items = _items(data, str | Path | PackedFile)
    return [item if isinstance(item, PackedFile) else Path(str(item)) for item in items] or None


def pictures_in(data: Any) -> list[Image.Image] | None:
    """Return one or several pictures of Pillow as a list; None of others."""
    return [data] if isinstance(data, Image.Image) else _items(data, Image.Image) or None


def is_array(data: Any) -> TypeGuard[Array]:
    """Return whether this is an array of NumPy, torch, h5py, zarr or alike, of numbers."""
    if isinstance(data, Tensor) or hasattr(data, "columns"):
        return isinstance(data, Tensor) and not data.is_nested
    return hasattr(data, "__array__") and hasattr(data, "shape") and not _holds_objects(data)


def is_pair(data: Any) -> TypeGuard[tuple[Any, Any]]:
    """Return whether this is a pair (images, labels), by its form alone."""
    return isinstance(data, tuple) and len(data) == 2


def is_image_folder(data: object) -> "TypeGuard[ImageFolder]":
    """Whether this is torchvision's ImageFolder; importing torchvision to ask takes a second."""
    known = sys.modules.get("torchvision.datasets")
    return known is not None and isinstance(data, known.ImageFolder)


def names_in(folder: "ImageFolder") -> list[str]:
    """Return the class name of each sample of torchvision's ImageFolder."""
    names = {number: name for name, number in folder.class_to_idx.items()}
    return [names[number] for _, number in folder.samples]


def refusal(data: Any) -> ValueError:
    """Return the error for what cannot be taken: its type, and the line that converts it."""
    return ValueError(f"cannot take images from {type(data).__name__}: pass {_cure(data) or TAKEN}")


def refusal_without_labels(data: Any) -> ValueError:
    """Return the error for what has no labels that can be taken."""
    cure, name = TAKEN_WITH_LABELS, type(data).__name__
    if isinstance(data, DataLoader):
        cure = f"({_cure(data)}, torch.cat([labels for _, labels in loader]))"
    elif isinstance(data, IterableDataset):
        cure = "tuple(zip(*dataset)) of a dataset of pictures and labels without transforms"
    return ValueError(f"cannot take labelled images from {name}: pass {cure}")


def _items(data: Any, kind: Any) -> list[Any]:
    """Return the items of a sequence, or array of objects or text, that are all of this kind."""
    if _holds_objects(data) and len(data.shape) == 1:
        data = np.asarray(data).tolist()
    named = isinstance(data, Sequence) and not isinstance(data, NO_LIST)
    return list(data) if named and all(isinstance(each, kind) for each in data) else []


def _holds_objects(data: Any) -> bool:
    """Return whether this is an array, or a column of a table, of objects or text."""
    return getattr(getattr(data, "dtype", None), "kind", "") in ("O", "U", "T")


def _cure(data: Any) -> str | None:
    """Return what to pass instead, as a line of Python where there is one."""
    for kinds, cure in CURES:
        if isinstance(data, kinds):
            return cure
    for attribute, cure in CURES_BY_ATTRIBUTE:
        if hasattr(data, attribute):
            return cure
    if _holds_objects(data):
        return "file names or pictures of Pillow, or np.stack(list(images)) of arrays of one size"
    if isinstance(data, Sequence):
        return _cure_of_list(data) if data else "at least one image"
    return None


def _cure_of_list(data: Sequence[Any]) -> str | None:
    first = data[0]
    if isinstance(first, Tensor):
        return f"torch.stack(images), or if their sizes differ {PICTURES_OF_TENSORS}"
    if is_array(first):
        return (
            "np.stack(images), or if their sizes differ [PIL.Image.fromarray(image) for image in "
            "images]"
        )
    if isinstance(first, list):
        return "np.array(images, np.uint8)"
    mixed = any(isinstance(each, str | Path | Image.Image) for each in data)
    return "either file names or pictures of Pillow, and nothing else" if mixed else None
