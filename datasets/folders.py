"""Read domains from folders, tables or files of arrays: classes, or images without labels."""

import os
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from dacbn.datasets.addresses import read_rows
from dacbn.datasets.cached_images import image_bytes
from dacbn.datasets.columns import spell_columns
from dacbn.datasets.decoding import SUFFIXES
from dacbn.datasets.fitting import Fit
from dacbn.datasets.images import (
    FileImages,
    Images,
    LabelledImages,
    TensorImages,
    UnlabelledImages,
)
from dacbn.datasets.layout import flat_folder, images_below, list_classes, real_paths
from dacbn.datasets.many_files import OnUnreadable, decode_each, report
from dacbn.datasets.npz import is_array_row, read_pixels
from dacbn.datasets.pixel_cache import cached_images
from dacbn.datasets.rows import list_rows, list_rows_by_class
from dacbn.datasets.tables import is_table

CACHED_ABOVE = 128 * 1024**2  # bytes of decoded pixels; those of larger domains lie in the cache
MEMORY_BUDGET = 2 * 1024**3  # without a cache, larger domains are decoded batchwise

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
    columns: Sequence[str] = (),
    cache: str = "none",
) -> LabelledImages:
    """Read a folder with one sub-folder per class, at any depth, or a list of files and labels.

    The folder's parts are used if it has any (train, and test, val, valid or validation).
    Otherwise about a fifth of each class is the test part: a file's part depends on its own path
    below the folder and on the seed, so that adding files moves no other.

    Args:
        path: the folder, or a table or file of arrays, as `read_rows` reads them.
        train: whether to read the training part; otherwise the test part.
        size: pixels per side.
        on_unreadable: skip broken files with a warning, or raise.
        seed: seed of the split; use the same for training and testing, to keep the parts disjoint.
        fit: how an image becomes square.
        trained_on: as in `list_folder`.
        columns: as in `list_folder`.
        cache: as in `read_each`.

    Raises:
        FileNotFoundError: the folder does not exist.
        ValueError: it is empty or flat, its layout cannot be told, there is a single class to
            train on, a class to train on has no readable images, or nothing is left to test on.
    """
    files, labels, classes = list_folder(path, train, seed, trained_on, columns)
    if labels is None:
        raise _unlabelled(path)
    if train and len(classes) == 1:
        raise ValueError(f"{path} has only one class, {classes[0]!r}: add another folder")
    images, readable = _read(files, size, on_unreadable, path, fit, cache)
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
    columns: Sequence[str] = (),
    cache: str = "none",
) -> UnlabelledImages:
    """Read a folder or list of images without labels.

    Class folders are split into train and test as by `read_labelled_folder`; their names are
    ignored. A flat folder is not split: without labels there is nothing to test.

    Raises:
        FileNotFoundError: the folder does not exist.
        ValueError: it contains no readable images.
    """
    files, _, _ = list_folder(path, train, seed, columns=columns)
    return UnlabelledImages(_read(files, size, on_unreadable, path, fit, cache)[0])


def read_files(
    paths: Sequence[Path],
    size: int,
    on_unreadable: OnUnreadable = "skip",
    fit: Fit = "crop",
    cache: str = "none",
) -> tuple[UnlabelledImages, list[Path]]:
    """Read the images that `list_images` lists.

    Args:
        paths: image files, folders and lists of files.
        size: pixels per side.
        on_unreadable: skip broken files with a warning, or raise.
        fit: how an image becomes square.
        cache: as in `read_each`.

    Returns:
        the images, and the file of each.

    Raises:
        FileNotFoundError: a path does not exist.
        ValueError: no image is readable.
    """
    files = list_images(*paths)
    images, readable = _read(files, size, on_unreadable, paths[0], fit, cache)
    kept = [file for file, good in zip(files, readable, strict=True) if good]
    return UnlabelledImages(images), kept


def list_images(*places: str | Path, columns: Sequence[str] = ()) -> list[Path]:
    """List image files, in the order in which a trained network answers them.

    Args:
        places: image files, which are taken as they are; folders, of which all images at any depth
            are listed, sorted by path; tables and lists of files (.txt, .csv, .parquet), and
            files of arrays (.npz), in their order.
        columns: columns of the tables, as in `load_labelled`.

    Raises:
        FileNotFoundError: one does not exist.
        ValueError: there are no images.
    """
    files: list[Path] = []
    for place in map(Path, places):
        rows = read_rows(place, columns)
        if rows is None and not (place.exists() or is_array_row(place)):
            raise FileNotFoundError(f"{place} does not exist: give image files or folders of them")
        if rows is None and not place.is_dir():
            files.append(place)
            continue
        files += images_below(place) if rows is None else rows.files
    if not files:
        raise ValueError(f"{', '.join(map(str, places))} holds no images: add some (.png, .jpg, …)")
    return files


def read_each(
    files: Sequence[Path | Image.Image],
    size: int,
    on_unreadable: OnUnreadable = "skip",
    fit: Fit = "crop",
    cache: str = "none",
) -> tuple[Images, list[str | None]]:
    """Decode all files, or pictures of Pillow's, to find broken ones.

    The pixels of files are kept in the cache if they exceed CACHED_ABOVE, and otherwise in memory;
    where there is no cache, those that exceed MEMORY_BUDGET are not kept.

    Args:
        files: N files or pictures.
        size: pixels per side.
        on_unreadable: skip broken files with a warning, or raise.
        fit: how an image becomes square.
        cache: the folder of the cache, "auto" for that of the user, or "none", which decodes images
            in each access.

    Returns:
        the R readable images, R >= 0; and for each file None, or why it is unreadable.
    """
    paths = [file for file in files if isinstance(file, Path)]
    if rows := [path for path in paths if is_array_row(path)]:
        if len(rows) < len(files):
            raise ValueError(f"{rows[0].parents[1]} is given with other images: give it alone")
        return TensorImages(read_pixels(rows, size, fit)), [None] * len(rows)
    needed = len(paths) * image_bytes(size)
    large = needed > CACHED_ABOVE
    if large and cache != "none" and (cached := cached_images(paths, size, fit, cache)):
        return cached[0], report(files, cached[1], on_unreadable)
    fits = needed <= MEMORY_BUDGET
    reasons, pixels = decode_each(files, size, fits, fit, on_unreadable)
    if fits:
        return TensorImages(pixels), reasons
    good = [path for path, reason in zip(paths, reasons, strict=True) if reason is None]
    return FileImages(tuple(good), size, fit), reasons


def list_folder(
    path: Path,
    train: bool,
    seed: int = 0,
    trained_on: Sequence[Path] | None = None,
    columns: Sequence[str] = (),
) -> tuple[list[Path], Tensor | None, tuple[str, ...]]:
    """List the image files of the training or test part of a folder, without opening them.

    Args:
        path: a folder with one sub-folder per class, a flat folder, a table or list of files or
            one of its domains, a file of arrays, or one image.
        train: whether to list the training part; otherwise the test part.
        seed: seed of the split.
        trained_on: the folders and lists that a network was trained on, if they are known. The test
            part of a folder without parts is then all of it, without their training parts.
        columns: columns of tables, as `find_columns` takes them.

    Returns:
        the N files, their labels (N,) and the class names; for a flat folder the labels are None
        and there are no class names.

    Raises:
        FileNotFoundError: the folder does not exist.
        ValueError: it contains no images, or its layout cannot be told.
    """
    seen = None
    if not train and trained_on is not None:
        seen = _files_trained_on(trained_on, path, seed, columns)
    if (rows := read_rows(path, columns)) is not None:
        if rows.labels is None:
            return list_rows(rows, train), None, ()
        by_class = list_rows_by_class(rows, train, seed, seen)
    elif path.is_file() and path.suffix.lower() in SUFFIXES:
        return [path], None, ()
    else:
        flat = flat_folder(_existing(path), train)
        if flat is not None:
            return images_below(flat), None, ()  # there are none in its sub-folders
        by_class = list_classes(path, train, seed, seen)
    files = [file for members in by_class.values() for file in members]
    if not files:
        why = "each class has one image" if seen is None else "all images were trained on"
        raise ValueError(
            f"{path} leaves nothing to test on, because {why}: add images, or a folder test"
        )
    positions = [position for position, each in enumerate(by_class.values()) for _ in each]
    return files, torch.tensor(positions), tuple(by_class)


def is_flat_folder(name_or_path: str | Path, columns: Sequence[str] = ()) -> bool:
    """Return whether this is a folder, table, list or file of images without labels."""
    path = Path(name_or_path)
    if (rows := read_rows(path, columns)) is not None:
        return rows.labels is None
    return path.is_dir() and flat_folder(path, train=False) is not None


def _files_trained_on(
    places: Sequence[Path], tested: Path, seed: int, columns: Sequence[str]
) -> set[str] | None:
    """Return the real paths of the training parts of folders and lists; None if one is lost.

    A lost one may have become what is tested, unless this was trained on itself.
    """
    seen: set[str] = set()
    itself = os.path.realpath(tested) in map(os.path.realpath, places)
    for place in places:
        try:
            seen.update(real_paths(list_folder(place, True, seed, columns=columns)[0]))
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
    files: Sequence[Path],
    size: int,
    on_unreadable: OnUnreadable,
    folder: Path,
    fit: Fit,
    cache: str,
) -> tuple[Images, list[bool]]:
    """Read as `read_each` does; refuse files of which none is readable."""
    images, reasons = read_each(files, size, on_unreadable, fit, cache)
    if not len(images):
        raise ValueError(f"{folder} holds no readable images: {files[0]}: {reasons[0]}")
    return images, [reason is None for reason in reasons]


def _unlabelled(path: Path) -> ValueError:
    if is_table(path):
        cure = f"add a column of labels, or name it by {spell_columns('label=NAME')}"
        return ValueError(f"{path} lists no labels: {cure}")
    if path.is_file():
        return ValueError(f"{path} has no labels: save them with the images")
    return ValueError(f"{path} is a flat folder of images: make one sub-folder per class")


def _existing(path: Path) -> Path:
    if not path.is_dir():
        kind = "is a file" if path.exists() else "does not exist"
        cure = "give the path of a folder of images, or of a list of files and labels (.txt, .csv)"
        published = (text for name, text in WHERE_TO_GET.items() if name in path.parts)
        raise FileNotFoundError(f"{path} {kind}: {next(published, cure)}")
    return path
