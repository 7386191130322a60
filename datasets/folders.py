"""Read domains from folders: one sub-folder per class, or a flat folder of unlabelled images."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dacbn.datasets.decoding import SUFFIXES, OnUnreadable, decode_each, report_unreadable
from dacbn.datasets.images import (
    FileImages,
    Images,
    LabelledImages,
    TensorImages,
    UnlabelledImages,
)

MEMORY_BUDGET = 2 * 1024**3  # bytes of decoded pixels; larger domains are decoded batchwise
TEST_FRACTION = 0.2


def read_labelled_folder(
    path: Path, train: bool, size: int, on_unreadable: OnUnreadable = "skip", seed: int = 0
) -> LabelledImages:
    """Read a folder with one sub-folder per class; images may be at any depth in a class.

    `path/train` and `path/test` are used if they exist. Otherwise a fifth of each class is the
    test part, chosen at random by `seed`.

    Args:
        path: the folder.
        train: whether to read the training part; otherwise the test part.
        size: pixels per side, after resizing the short side and cropping the centre.
        on_unreadable: skip broken files with a warning, or raise.
        seed: seed of the split; use the same for training and testing, to keep the parts disjoint.

    Raises:
        FileNotFoundError: the folder does not exist.
        ValueError: it is empty or flat, has a single class, a class has no readable images, or
            `train` and `test` have different classes.
    """
    by_class = _list_classes(path, train, seed)
    if len(by_class) == 1:
        raise ValueError(f"{path} has only one class, {next(iter(by_class))!r}: add another folder")
    files = [file for members in by_class.values() for file in members]
    labels = [label for label, members in enumerate(by_class.values()) for _ in members]
    images, readable = _read(files, size, on_unreadable, path)
    kept = torch.tensor(labels)[torch.tensor(readable)]
    for label, (name, members) in enumerate(by_class.items()):
        if members and label not in kept:
            raise ValueError(
                f"class folder {name!r} in {path} has no readable images: replace them"
            )
    return LabelledImages(images, kept, tuple(by_class))


def read_unlabelled_folder(
    path: Path, train: bool, size: int, on_unreadable: OnUnreadable = "skip", seed: int = 0
) -> UnlabelledImages:
    """Read a folder of images without labels.

    Class folders are split into train and test as by `read_labelled_folder`; their names are
    ignored. A flat folder is not split: without labels there is nothing to test.

    Raises:
        FileNotFoundError: the folder does not exist.
        ValueError: it contains no readable images.
    """
    files, _, _ = list_folder(path, train, seed)
    images, _ = _read(files, size, on_unreadable, path)
    return UnlabelledImages(images)


def read_files(
    paths: Sequence[Path], size: int, on_unreadable: OnUnreadable = "skip"
) -> tuple[UnlabelledImages, list[Path]]:
    """Read image files and all images in folders, at any depth.

    Returns:
        the images, and the file of each.

    Raises:
        FileNotFoundError: a path does not exist.
        ValueError: no image is readable.
    """
    files: list[Path] = []
    for path in paths:
        if not path.exists():
            raise FileNotFoundError(f"{path} does not exist: give image files or folders of them")
        files += _images_below(path) if path.is_dir() else [path]
    if not files:
        kinds = ", ".join(sorted(SUFFIXES))
        raise ValueError(f"{', '.join(map(str, paths))} holds no images: add some ({kinds})")
    images, readable = _read(files, size, on_unreadable, paths[0])
    kept = [file for file, good in zip(files, readable, strict=True) if good]
    return UnlabelledImages(images), kept


def list_folder(
    path: Path, train: bool, seed: int = 0
) -> tuple[list[Path], Tensor | None, tuple[str, ...]]:
    """List the image files of the training or test part of a folder, without opening them.

    Args:
        path: a folder with one sub-folder per class, or a flat folder.
        train: whether to list the training part; otherwise the test part.
        seed: seed of the split.

    Returns:
        the N files, their labels (N,) and the class names; for a flat folder the labels are None
        and there are no class names.

    Raises:
        FileNotFoundError: the folder does not exist.
        ValueError: it contains no images.
    """
    flat = _flat_folder(_existing(path), train)
    if flat is not None:
        return _images_in(flat), None, ()
    by_class = _list_classes(path, train, seed)
    files = [file for members in by_class.values() for file in members]
    labels = [label for label, members in enumerate(by_class.values()) for _ in members]
    return files, torch.tensor(labels), tuple(by_class)


def is_flat_folder(name_or_path: str | Path) -> bool:
    """Return whether this is a folder that directly contains images, so without labels."""
    path = Path(name_or_path)
    return path.is_dir() and _flat_folder(path, train=False) is not None


def _flat_folder(path: Path, train: bool) -> Path | None:
    """Return the folder that directly contains images: a part, `path` or `path/images`."""
    candidates = (_choose_part(path, train), path, _descend(path))
    return next((folder for folder in candidates if folder and _images_in(folder)), None)


def _list_classes(path: Path, train: bool, seed: int) -> dict[str, list[Path]]:
    """Return the image files of one part, by class name."""
    part = _choose_part(_existing(path), train)
    by_class = _class_files(part or _descend(path))
    if part is None:
        return {
            name: _split(members, train, [seed, label])
            for label, (name, members) in enumerate(by_class.items())
        }
    other = _class_files(path / ("test" if train else "train"))
    if differing := sorted(by_class.keys() ^ other.keys()):
        raise ValueError(f"{path}/train and {path}/test differ in {differing}: give both the same")
    return by_class


def _class_files(folder: Path) -> dict[str, list[Path]]:
    by_class = {child.name: _images_below(child) for child in _folders_in(folder)}
    if not by_class and _images_in(folder):
        raise ValueError(f"{folder} is a flat folder of images: make one sub-folder per class")
    if not any(by_class.values()):
        raise ValueError(f"{folder} holds no images: add some ({', '.join(sorted(SUFFIXES))})")
    if empty := [name for name, members in by_class.items() if not members]:
        raise ValueError(f"class folders {empty} in {folder} hold no images: fill or delete them")
    return by_class


def _choose_part(path: Path, train: bool) -> Path | None:
    """Return path/train or path/test, or None if these are not parts but class names."""
    parts = [path / "train", path / "test"]
    if not all(part.is_dir() for part in parts):
        return None
    if all(_folders_in(part) for part in parts) or len(_folders_in(path)) == len(parts):
        return parts[0] if train else parts[1]
    return None


def _descend(path: Path) -> Path:
    """Return `path/images` if it is the only sub-folder, as in Office-31; otherwise `path`."""
    return path / "images" if [child.name for child in _folders_in(path)] == ["images"] else path


def _split(files: Sequence[Path], train: bool, seed: list[int]) -> list[Path]:
    order = np.random.default_rng(seed).permutation(len(files)).tolist()
    test_count = min(max(1, round(TEST_FRACTION * len(files))), len(files) - 1)
    chosen = order[test_count:] if train else order[:test_count]
    return [files[index] for index in sorted(chosen)]


def _read(
    files: Sequence[Path], size: int, on_unreadable: OnUnreadable, folder: Path
) -> tuple[Images, list[bool]]:
    """Decode all files to find broken ones; keep the pixels if they fit in MEMORY_BUDGET."""
    fits = len(files) * 3 * size * size <= MEMORY_BUDGET
    readable, pixels = decode_each(files, size, keep=fits)
    flagged = list(zip(files, readable, strict=True))
    report_unreadable([file for file, good in flagged if not good], on_unreadable)
    if not any(readable):
        raise ValueError(f"{folder} holds no readable images: check the files in it")
    good_files = [file for file, good in flagged if good]
    return TensorImages(pixels) if fits else FileImages(tuple(good_files), size), readable


def _existing(path: Path) -> Path:
    if not path.is_dir():
        kind = "is a file" if path.exists() else "does not exist"
        raise FileNotFoundError(f"{path} {kind}: give the path of a folder of images")
    return path


def _folders_in(path: Path) -> list[Path]:
    return sorted(
        child
        for child in path.iterdir()
        if child.is_dir() and not child.name.startswith((".", "__"))
    )


def _images_in(path: Path) -> list[Path]:
    return sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)


def _images_below(path: Path) -> list[Path]:
    return sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES)
