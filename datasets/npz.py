"""Images and labels in files of NumPy: .npz, as MedMNIST's, or .npy with labels beside it.

An image in such a file has a path too: FILE/ARRAY/ROW, where a file in a folder has its own.
"""

import zipfile
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dacbn.datasets.arrays import LAYOUTS, size_of_array, unlabelled
from dacbn.datasets.fitting import Fit
from dacbn.datasets.layout import PART_OF
from dacbn.datasets.rows import Rows

FILES = {".npz", ".npy"}
IMAGES = ("images", "image", "x", "data")  # a word of the name of an array, besides its part
LABELS = ("labels", "label", "y", "targets")
CURE = "save it with np.savez(file, images=images, labels=labels)"


def is_array_file(path: str | Path) -> bool:
    """Return whether a path is that of a file of NumPy."""
    return Path(path).suffix.lower() in FILES and Path(path).is_file()


def is_array_row(path: Path) -> bool:
    """Return whether this names an image in a file of NumPy."""
    return len(path.parents) > 1 and is_array_file(path.parents[1])


def read_array_rows(path: Path) -> Rows:
    """List the images of a file, with labels and parts if it has any; pixels are not read.

    Arrays are found by name: images (or x, data) and labels (or y, targets), each of the whole or,
    as in train_images or x_test, of a part. The labels of images.npy are in labels.npy beside it,
    those of x.npy in y.npy.

    Raises:
        ValueError: the file cannot be read, arrays cannot be told by their names, images and labels
            differ in number, or an image has several labels.
    """
    arrays = _pairs(path)
    files, parts = [], []
    for pair in arrays:
        count = _shape(path, pair.images)[0]
        files += [path / pair.images / str(row) for row in range(count)]
        parts += [pair.part] * count
        if pair.labels is not None and pair.labels.shape != (count,):
            raise ValueError(
                f"{path} has {count} images in {pair.images!r} and labels of shape "
                f"{pair.labels.shape}: save one label for each image"
            )
    if not files:
        raise ValueError(f"{path} holds no images: {CURE}")
    labels = [pair.labels for pair in arrays if pair.labels is not None]
    if labels and len(labels) < len(arrays):
        raise ValueError(f"{path} has labels of only some of its parts: save those of all or none")
    together = np.concatenate(labels).tolist() if labels else None
    return Rows(str(path), path, files, together, None if "" in parts else parts)


def size_of_file(path: Path) -> int:
    """Return the height of the images in a file of NumPy."""
    return size_of_array(_shape(path, _pairs(path)[0].images))


def read_pixels(rows: Sequence[Path], size: int, fit: Fit) -> Tensor:
    """Read images as uint8 (N, 3, size, size).

    Args:
        rows: N images, as `read_array_rows` lists them.
        size: pixels per side.
        fit: how images become square.
    """
    pixels = []
    for array, group in groupby(rows, key=lambda row: row.parent):
        images = _load(array.parent, array.name)
        places = [int(row.name) for row in group]
        if max(places) >= len(images):
            raise ValueError(f"{array} has {len(images)} images, and none at {max(places)}")
        chosen = images[places]
        chosen = chosen[:, None] if chosen.ndim == 3 else chosen  # grey, however many there are
        pixels.append(unlabelled(chosen, size, fit).images.gather(torch.arange(len(chosen))))
    return torch.cat(pixels)


class _Pair(NamedTuple):
    part: str  # "" of the whole
    images: str
    labels: NDArray[Any] | None


def _pairs(path: Path) -> list[_Pair]:
    """Find the arrays of images, and load the labels of each."""
    if path.suffix.lower() == ".npy":
        return [_Pair("", path.stem, _labels_beside(path))]
    names = _names(path)
    images, labels = _by_part(path, names, IMAGES), _by_part(path, names, LABELS)
    if not images or not images.keys() >= labels.keys() or ("" in images and len(images) > 1):
        raise ValueError(f"cannot tell images from labels in {path}, of arrays {names}: {CURE}")
    return [
        _Pair(part, name, _flat(_load(path, labels[part])) if part in labels else None)
        for part, name in images.items()
    ]


def _labels_beside(path: Path) -> NDArray[Any] | None:
    """Load labels.npy of images.npy, y_test.npy of x_test.npy; None if there is none."""
    words = path.stem.split("_")
    for place in (place for place, word in enumerate(words) if word.lower() in IMAGES):
        for label in LABELS:
            beside = path.with_name("_".join([*words[:place], label, *words[place + 1 :]]) + ".npy")
            if beside.is_file():
                return _flat(_load(beside))
    return None


def _by_part(path: Path, names: Sequence[str], kinds: Sequence[str]) -> dict[str, str]:
    """Return the array of each part, of those whose name has one of the words in `kinds`."""
    found: dict[str, str] = {}
    for name in names:
        words = name.lower().split("_")
        part = next((PART_OF[word] for word in words if word in PART_OF), "")
        rest = [word for word in words if word not in PART_OF]
        if len(rest) == 1 and rest[0] in kinds:
            if part in found:
                raise ValueError(f"{path} has {found[part]!r} and {name!r}: keep one of both")
            found[part] = name
    return found


def _flat(labels: NDArray[Any]) -> NDArray[Any]:
    return labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels


def _names(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return [name.removesuffix(".npy") for name in archive.namelist()]
    except (zipfile.BadZipFile, OSError) as error:
        raise ValueError(f"cannot read {path} ({error}): {CURE}") from error


def _load(path: Path, name: str = "") -> NDArray[Any]:
    try:
        if path.suffix.lower() == ".npy":
            return np.asarray(np.load(path, mmap_mode="r"))
        with np.load(path) as arrays:
            return np.asarray(arrays[name])
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"cannot read {path} ({reason}): {CURE}") from error


def _shape(path: Path, name: str) -> tuple[int, ...]:
    """Return the shape of an array of images, without reading them."""
    shape = _load(path).shape if path.suffix.lower() == ".npy" else _header(path, name)
    if len(shape) not in (3, 4):
        raise ValueError(f"{path} has images of shape {shape}: save {LAYOUTS}")
    return shape


def _header(path: Path, name: str) -> tuple[int, ...]:
    with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0
        shape, _, _ = (read if version == (1, 0) else np.lib.format.read_array_header_2_0)(file)
    return tuple(shape)
