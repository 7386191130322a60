"""Read domains from folders or lists of files: classes, or images without labels."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from dacbn.datasets.file_lists import is_list, read_list
from dacbn.datasets.fitting import Fit
from dacbn.datasets.images import (
    FileImages,
    Images,
    LabelledImages,
    TensorImages,
    UnlabelledImages,
)
from dacbn.datasets.labels import number_labels
from dacbn.datasets.layout import flat_folder, images_below, list_classes, split
from dacbn.datasets.many_files import OnUnreadable, decode_each

MEMORY_BUDGET = 2 * 1024**3  # bytes of decoded pixels; larger domains are decoded batchwise

WHERE_TO_GET = {  # folders that recipes read
    "office31": "get Office-31 from https://faculty.cc.gatech.edu/~judy/domainadapt and unpack it "
    "there, or name your folders"
}


def read_labelled_folder(
    path: Path,
    train: bool,
    size: int,
    on_unreadable: OnUnreadable = "skip",
    seed: int = 0,
    fit: Fit = "crop",
) -> LabelledImages:
    """Read a folder with one sub-folder per class, at any depth, or a list of files and labels.

    The folder's parts are used if it has any (train, and test, val, valid or validation).
    Otherwise about a fifth of each class is the test part: a file's part depends on its own path
    below the folder and on the seed, so that adding files moves no other.

    Args:
        path: the folder, or a file as `read_list` reads it.
        train: whether to read the training part; otherwise the test part.
        size: pixels per side.
        on_unreadable: skip broken files with a warning, or raise.
        seed: seed of the split; use the same for training and testing, to keep the parts disjoint.
        fit: how an image becomes square.

    Raises:
        FileNotFoundError: the folder does not exist.
        ValueError: it is empty or flat, its layout cannot be told, there is a single class to
            train on, a class to train on has no readable images, or nothing is left to test on.
    """
    files, labels, classes = list_folder(path, train, seed)
    if labels is None:
        what = f"{path} lists no labels" if is_list(path) else f"{path} is a flat folder of images"
        raise ValueError(f"{what}: make one sub-folder per class")
    if train and len(classes) == 1:
        raise ValueError(f"{path} has only one class, {classes[0]!r}: add another folder")
    images, readable = _read(files, size, on_unreadable, path, fit)
    kept = labels[torch.tensor(readable)]
    for label, name in enumerate(classes):
        if train and label in labels and label not in kept:
            raise ValueError(
                f"class folder {name!r} in {path} has no readable images to train on: replace them"
            )
    return LabelledImages(images, kept, classes)


def read_unlabelled_folder(
    path: Path,
    train: bool,
    size: int,
    on_unreadable: OnUnreadable = "skip",
    seed: int = 0,
    fit: Fit = "crop",
) -> UnlabelledImages:
    """Read a folder or list of images without labels.

    Class folders are split into train and test as by `read_labelled_folder`; their names are
    ignored. A flat folder is not split: without labels there is nothing to test.

    Raises:
        FileNotFoundError: the folder does not exist.
        ValueError: it contains no readable images.
    """
    files, _, _ = list_folder(path, train, seed)
    return UnlabelledImages(_read(files, size, on_unreadable, path, fit)[0])


def read_files(
    paths: Sequence[Path],
    size: int,
    on_unreadable: OnUnreadable = "skip",
    fit: Fit = "crop",
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
        files += images_below(path) if path.is_dir() else [path]
    if not files:
        raise ValueError(f"{', '.join(map(str, paths))} holds no images: add some (.png, .jpg, …)")
    images, readable = _read(files, size, on_unreadable, paths[0], fit)
    kept = [file for file, good in zip(files, readable, strict=True) if good]
    return UnlabelledImages(images), kept


def list_folder(
    path: Path, train: bool, seed: int = 0
) -> tuple[list[Path], Tensor | None, tuple[str, ...]]:
    """List the image files of the training or test part of a folder, without opening them.

    Args:
        path: a folder with one sub-folder per class, a flat folder, or a list of files.
        train: whether to list the training part; otherwise the test part.
        seed: seed of the split.

    Returns:
        the N files, their labels (N,) and the class names; for a flat folder the labels are None
        and there are no class names.

    Raises:
        FileNotFoundError: the folder does not exist.
        ValueError: it contains no images, or its layout cannot be told.
    """
    if is_list(path):
        files, names = read_list(path)
        if names is None:
            return files, None, ()
        labels, classes = number_labels(names)
        members = [
            [file for file, label in zip(files, labels.tolist(), strict=True) if label == position]
            for position in range(len(classes))
        ]
        by_class = {
            name: split(each, train, path.parent, seed)
            for name, each in zip(classes, members, strict=True)
        }
    else:
        flat = flat_folder(_existing(path), train)
        if flat is not None:
            return images_below(flat), None, ()  # there are none in its sub-folders
        by_class = list_classes(path, train, seed)
    files = [file for members in by_class.values() for file in members]
    if not files:
        raise ValueError(
            f"{path} leaves nothing to test on, because each class has one image: add images, or a "
            "folder test"
        )
    positions = [position for position, each in enumerate(by_class.values()) for _ in each]
    return files, torch.tensor(positions), tuple(by_class)


def is_flat_folder(name_or_path: str | Path) -> bool:
    """Return whether this is a folder or list of images without labels."""
    path = Path(name_or_path)
    if is_list(path):
        return read_list(path)[1] is None
    return path.is_dir() and flat_folder(path, train=False) is not None


def _read(
    files: Sequence[Path], size: int, on_unreadable: OnUnreadable, folder: Path, fit: Fit
) -> tuple[Images, list[bool]]:
    """Decode all files to find broken ones; keep the pixels if they fit in MEMORY_BUDGET."""
    fits = len(files) * 3 * size * size <= MEMORY_BUDGET
    reasons, pixels = decode_each(files, size, fits, fit, on_unreadable)
    readable = [reason is None for reason in reasons]
    good_files = [file for file, good in zip(files, readable, strict=True) if good]
    if not good_files:
        raise ValueError(f"{folder} holds no readable images: {files[0]}: {reasons[0]}")
    return TensorImages(pixels) if fits else FileImages(tuple(good_files), size, fit), readable


def _existing(path: Path) -> Path:
    if not path.is_dir():
        kind = "is a file" if path.exists() else "does not exist"
        cure = "give the path of a folder of images, or of a list of files and labels (.txt, .csv)"
        published = (text for name, text in WHERE_TO_GET.items() if name in path.parts)
        raise FileNotFoundError(f"{path} {kind}: {next(published, cure)}")
    return path
