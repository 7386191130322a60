"""Read domains from folders, tables or files of arrays: classes, or images without labels."""

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image

from dacbn.datasets.cached_images import image_bytes
from dacbn.datasets.columns import spell_columns
from dacbn.datasets.fitting import Fit
from dacbn.datasets.images import (
    FileImages,
    Images,
    LabelledImages,
    TensorImages,
    UnlabelledImages,
)
from dacbn.datasets.listing import list_folder, list_images
from dacbn.datasets.many_files import OnUnreadable, decode_each, report
from dacbn.datasets.npz import is_array_row, read_pixels
from dacbn.datasets.packed import ImageFile
from dacbn.datasets.packed_folders import is_packed
from dacbn.datasets.pixel_cache import cached_images
from dacbn.datasets.tables import is_table

CACHED_ABOVE = 128 * 1024**2  # bytes of decoded pixels; those of larger domains lie in the cache
MEMORY_BUDGET = 2 * 1024**3  # without a cache, larger domains are decoded batchwise


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
    paths: Sequence[ImageFile],
    size: int,
    on_unreadable: OnUnreadable = "skip",
    fit: Fit = "crop",
    cache: str = "none",
) -> tuple[UnlabelledImages, list[ImageFile]]:
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


def read_each(
    files: Sequence[ImageFile | Image.Image],
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
    paths = [file for file in files if not isinstance(file, Image.Image)]
    own = [path for path in paths if isinstance(path, Path)]
    if rows := [path for path in own if is_array_row(path)]:
        if len(rows) < len(files):
            raise ValueError(f"{rows[0].parents[1]} is given with other images: give it alone")
        return TensorImages(read_pixels(rows, size, fit)), [None] * len(rows)
    needed = len(paths) * image_bytes(size)
    large = needed > CACHED_ABOVE and len(own) == len(files)
    if large and cache != "none" and (cached := cached_images(own, size, fit, cache)):
        return cached[0], report(files, cached[1], on_unreadable)
    fits = needed <= MEMORY_BUDGET
    reasons, pixels = decode_each(files, size, fits, fit, on_unreadable)
    if fits:
        return TensorImages(pixels), reasons
    good = [path for path, reason in zip(paths, reasons, strict=True) if reason is None]
    return FileImages(tuple(good), size, fit), reasons


def _read(
    files: Sequence[ImageFile],
    size: int,
    on_unreadable: OnUnreadable,
    folder: ImageFile,
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
    if is_packed(path):
        return ValueError(f"{path} has no labels: write them into it, or give it as a target")
    if path.is_file():
        return ValueError(f"{path} has no labels: save them with the images")
    return ValueError(f"{path} is a flat folder of images: make one sub-folder per class")
