"""Recognise what a user holds: files, pictures or an array; the rest is refused with its cure."""

from collections.abc import Iterator, Sequence, Set
from pathlib import Path
from typing import Any, TypeAlias, TypeGuard

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.datasets import ImageFolder

Array: TypeAlias = NDArray[np.generic] | Tensor


def files_in(data: Any) -> list[Path] | None:
    """Return the files that a list, an array of text or an ImageFolder names; None of others."""
    if isinstance(data, ImageFolder):
        return [Path(path) for path, _ in data.samples]
    return [Path(str(path)) for path in _items(data, str | Path)] or None


def pictures_in(data: Any) -> list[Image.Image] | None:
    """Return one or several pictures of Pillow as a list; None of others."""
    return [data] if isinstance(data, Image.Image) else _items(data, Image.Image) or None


def is_array(data: Any) -> TypeGuard[Array]:
    """Return whether this is an array of NumPy, torch, h5py, zarr or alike, of numbers."""
    return hasattr(data, "__array__") and hasattr(data, "shape") and not _holds_objects(data)


def names_in(folder: ImageFolder) -> list[str]:
    """Return the class name of each sample of torchvision's ImageFolder."""
    names = {number: name for name, number in folder.class_to_idx.items()}
    return [names[number] for _, number in folder.samples]


def refusal(data: Any, kind: str = "images") -> ValueError:
    """Return the error for what cannot be taken: its type, and the line that converts it."""
    name, cure = type(data).__name__, _cure(data)
    if cure is None:
        cure = "a dataset's name, a folder, image files, pictures of Pillow, or an array of images"
    return ValueError(f"cannot take {kind} from {name}: pass {cure}")


def _items(data: Any, kind: Any) -> list[Any]:
    """Return the items of a sequence, or array of objects or text, that are all of this kind."""
    if _holds_objects(data) and len(data.shape) == 1:
        data = np.asarray(data).tolist()
    named = isinstance(data, Sequence) and not isinstance(data, str | bytes)
    return list(data) if named and all(isinstance(each, kind) for each in data) else []


def _holds_objects(data: Any) -> bool:
    """Return whether this is an array, or a column of a table, of objects or text."""
    return getattr(getattr(data, "dtype", None), "kind", "") in ("O", "U", "T")


def _cure(data: Any) -> str | None:
    """Return what to pass instead, as a line of Python where there is one."""
    if isinstance(data, DataLoader):
        return "torch.cat([images for images, *_ in loader]), in [0, 1] and not normalised"
    if isinstance(data, Dataset):
        return "[image for image, *_ in dataset], of a dataset of pictures without transforms"
    if isinstance(data, str | Path):
        return "([file], [label]) of one image file"
    if isinstance(data, Set):
        return "sorted(images)"
    if isinstance(data, Iterator) and not hasattr(data, "read"):
        return "list(images)"
    if isinstance(data, bytes | bytearray):
        return "PIL.Image.open(io.BytesIO(content))"
    if hasattr(data, "read"):
        return "PIL.Image.open(file)"
    if hasattr(data, "toarray"):
        return "images.toarray().reshape(-1, height, width)"
    if hasattr(data, "columns"):
        return 'a column of it, as in table["file"]'
    if _holds_objects(data):
        return "file names or pictures of Pillow, or np.stack(list(images)) of arrays of one size"
    return _cure_of_list(data) if isinstance(data, Sequence) and data else None


def _cure_of_list(data: Sequence[Any]) -> str | None:
    first = data[0]
    if isinstance(first, Tensor):
        return (
            "torch.stack(images), or if their sizes differ [to_pil_image(image) for image in "
            "images], of torchvision.transforms.v2.functional"
        )
    if is_array(first):
        return (
            "np.stack(images), or if their sizes differ [PIL.Image.fromarray(image) for image in "
            "images]"
        )
    if isinstance(first, list):
        return "np.array(images, np.uint8)"
    mixed = any(isinstance(each, str | Path | Image.Image) for each in data)
    return "a list of either file names or pictures of Pillow, without others" if mixed else None
