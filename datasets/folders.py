"""Read domains from folders or lists of files: classes, or images without labels."""

import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from dacbn.datasets.decoding import SUFFIXES
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
from dacbn.datasets.packed import ImageFile, PackedFile
from dacbn.datasets.packed_folders import find_packed, is_packed
from dacbn.datasets.parts import choose_part

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
    trained_on: Sequence[Path] | None = None,
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
        trained_on: as in `list_folder`.

    Raises:
        FileNotFoundError: the folder does not exist.
        ValueError: it is empty or flat, its layout cannot be told, there is a single class to
            train on, a class to train on has no readable images, or nothing is left to test on.
    """
    files, labels, classes = list_folder(path, train, seed, trained_on)
    if labels is None and is_packed(path):
        raise ValueError(f"{path} has no labels: write them into it, or give it as a target")
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
) -> tuple[UnlabelledImages, list[ImageFile]]:
    """Read the images that `list_images` lists.

    Args:
        paths: image files, folders and lists of files.
        size: pixels per side.
        on_unreadable: skip broken files with a warning, or raise.
        fit: how an image becomes square.

    Returns:
        the images, and the file of each.

    Raises:
        FileNotFoundError: a path does not exist.
        ValueError: no image is readable.
    """
    files = list_images(*paths)
    images, readable = _read(files, size, on_unreadable, paths[0], fit)
    kept = [file for file, good in zip(files, readable, strict=True) if good]
    return UnlabelledImages(images), kept


def list_images(*places: str | ImageFile) -> list[ImageFile]:
    """List image files, in the order in which a trained network answers them.

    Args:
        places: image files, which are taken as they are; folders, of which all images at any depth
            are listed, sorted by path; and lists of files (.txt, .csv), shards and datasets of
            Hugging Face, in their order.

    Raises:
        FileNotFoundError: one does not exist.
        ValueError: there are no images.
    """
    files: list[ImageFile] = []
    for place in places:
        if isinstance(place, PackedFile):
            files.append(place)
            continue
        place = Path(place)
        if (parts := find_packed(place)) is not None:
            files += [file for part in parts.values() for file in part.files]
            continue
        if not place.exists():
            raise FileNotFoundError(f"{place} does not exist: give image files or folders of them")
        if place.is_dir():
            files += images_below(place)
        else:
            files += read_list(place)[0] if is_list(place) else [place]
    if not files:
        raise ValueError(f"{', '.join(map(str, places))} holds no images: add some (.png, .jpg, …)")
    return files


def read_each(
    files: Sequence[ImageFile | Image.Image],
    size: int,
    on_unreadable: OnUnreadable = "skip",
    fit: Fit = "crop",
) -> tuple[Images, list[str | None]]:
    """Decode all files, or pictures of Pillow's, to find broken ones.

    The pixels of files are kept if they fit in MEMORY_BUDGET.

    Returns:
        the R readable images, R >= 0; and for each file None, or why it is unreadable.
    """
    paths = [file for file in files if not isinstance(file, Image.Image)]
    fits = len(paths) * 3 * size * size <= MEMORY_BUDGET
    reasons, pixels = decode_each(files, size, fits, fit, on_unreadable)
    if fits:
        return TensorImages(pixels), reasons
    good = [path for path, reason in zip(paths, reasons, strict=True) if reason is None]
    return FileImages(tuple(good), size, fit), reasons


def list_folder(
    path: Path, train: bool, seed: int = 0, trained_on: Sequence[Path] | None = None
) -> tuple[list[ImageFile], Tensor | None, tuple[str, ...]]:
    """List the image files of the training or test part of a folder, without opening them.

    Args:
        path: a folder with one sub-folder per class, a flat folder, a list of files, one image, or
            what `is_packed` takes.
        train: whether to list the training part; otherwise the test part.
        seed: seed of the split.
        trained_on: the folders and lists that a network was trained on, if they are known. The test
            part of a folder without parts is then all of it, without their training parts.

    Returns:
        the N files, their labels (N,) and the class names; for a flat folder the labels are None
        and there are no class names.

    Raises:
        FileNotFoundError: the folder does not exist.
        ValueError: it contains no images, or its layout cannot be told.
    """
    seen = None if train or trained_on is None else _files_trained_on(trained_on, path, seed)
    by_class: Mapping[str, Sequence[ImageFile]]
    if (parts := find_packed(path)) is not None:
        part = choose_part(parts, str(path), train, seed, seen)
        if isinstance(part, list):
            return [*part], None, ()
        by_class = part
    elif is_list(path):
        files, names = read_list(path)
        if names is None:
            return [*files], None, ()
        labels, classes = number_labels(names)
        members = [
            [file for file, label in zip(files, labels.tolist(), strict=True) if label == position]
            for position in range(len(classes))
        ]
        by_class = {
            name: split(each, train, path.parent, seed, seen)
            for name, each in zip(classes, members, strict=True)
        }
    elif path.is_file() and path.suffix.lower() in SUFFIXES:
        return [path], None, ()
    else:
        flat = flat_folder(_existing(path), train)
        if flat is not None:
            return [*images_below(flat)], None, ()  # there are none in its sub-folders
        by_class = list_classes(path, train, seed, seen)
    listed = [file for members in by_class.values() for file in members]
    if not listed:
        why = "each class has one image" if seen is None else "all images were trained on"
        raise ValueError(
            f"{path} leaves nothing to test on, because {why}: add images, or a folder test"
        )
    positions = [position for position, each in enumerate(by_class.values()) for _ in each]
    return listed, torch.tensor(positions), tuple(by_class)


def is_flat_folder(name_or_path: str | Path) -> bool:
    """Return whether this is a folder or list of images without labels."""
    path = Path(name_or_path)
    if is_packed(path):
        return list_folder(path, train=False)[1] is None
    if is_list(path):
        return read_list(path)[1] is None
    return path.is_dir() and flat_folder(path, train=False) is not None


def _files_trained_on(places: Sequence[Path], tested: Path, seed: int) -> set[str] | None:
    """Return the real paths of the training parts of folders and lists; None if one is lost.

    A lost one may have become what is tested, unless this was trained on itself.
    """
    seen: set[str] = set()
    itself = os.path.realpath(tested) in map(os.path.realpath, places)
    for place in places:
        try:
            seen.update(map(os.path.realpath, list_folder(place, True, seed)[0]))
        except (ValueError, OSError):
            if itself:
                continue
            warnings.warn(
                f"{place}, which was trained on, cannot be read any more: of {tested} only the "
                "part is tested that would not be trained on, about a fifth",
                stacklevel=2,
            )
            return None
    return seen


def _read(
    files: Sequence[ImageFile], size: int, on_unreadable: OnUnreadable, folder: Path, fit: Fit
) -> tuple[Images, list[bool]]:
    """Read as `read_each` does; refuse files of which none is readable."""
    images, reasons = read_each(files, size, on_unreadable, fit)
    if not len(images):
        raise ValueError(f"{folder} holds no readable images: {files[0]}: {reasons[0]}")
    return images, [reason is None for reason in reasons]


def _existing(path: Path) -> Path:
    if not path.is_dir():
        kind = "is a file" if path.exists() else "does not exist"
        cure = "give the path of a folder of images, or of a list of files and labels (.txt, .csv)"
        published = (text for name, text in WHERE_TO_GET.items() if name in path.parts)
        raise FileNotFoundError(f"{path} {kind}: {next(published, cure)}")
    return path
