"""Load a domain from a registered name, or from a path."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch

from dacbn.datasets.arrays import resize
from dacbn.datasets.catalogue import DIGIT_SIZE, datasets
from dacbn.datasets.fitting import Fit
from dacbn.datasets.folders import (
    read_files,
    read_labelled_folder,
    read_unlabelled_folder,
)
from dacbn.datasets.hugging_face import is_named
from dacbn.datasets.images import LabelledImages, NamedImages, TensorImages, UnlabelledImages
from dacbn.datasets.listing import list_folder
from dacbn.datasets.many_files import OnUnreadable
from dacbn.datasets.npz import is_array_file, size_of_file
from dacbn.datasets.packed_folders import is_packed
from dacbn.datasets.sight import say_what_was_seen
from dacbn.datasets.streams import is_stream
from dacbn.datasets.tables import is_table
from dacbn.registry import UnknownNameError

PHOTO_SIZE = 224


def load_labelled(
    name_or_path: str | Path,
    *,
    train: bool,
    root: Path,
    size: int | None = None,
    download: bool = False,
    on_unreadable: OnUnreadable = "skip",
    seed: int = 0,
    fit: Fit = "crop",
    trained_on: Sequence[Path] | None = None,
    columns: Sequence[str] = (),
    cache: str = "none",
) -> LabelledImages:
    """Load a labelled domain.

    Args:
        name_or_path: a registered name; a folder with one sub-folder per class; a table or list of
            files and labels (.txt, .lst, .csv, .tsv, .parquet), or the address TABLE:DOMAIN of one
            of its domains; or a file of images and labels (.npz, .npy).
        train: whether to load the training part; otherwise the test part.
        root: folder of the published dataset files.
        size: pixels per side; by default `natural_size(name_or_path)`.
        download: whether missing published files may be downloaded.
        on_unreadable: skip broken files in a folder with a warning, or raise.
        seed: seed of the split of a folder into training and test part.
        fit: how an image of a folder becomes square.
        trained_on: folders and lists that a network was trained on, if they are known: the test
            part of a folder without parts is all of it, without their training parts.
        columns: the columns of a table whose names are not the usual ones, as "label=species" or
            "domain=camera"; roles are path, label, domain and split.
        cache: where the pixels of a large folder go: another folder, "auto" for one in the user's
            cache folder, or "none", which keeps them in memory or decodes them in each access.

    Raises:
        UnknownNameError: `name_or_path` is neither a registered name nor a folder.
        FileNotFoundError: a folder or a published file is missing.
        ValueError: a folder or file cannot be used.

    Example:
        >>> domain = load_labelled("digits", train=False, root=Path("data"))
        >>> len(domain), domain.images.size, domain.classes[:3]
        (297, 32, ('0', '1', '2'))
    """
    folder = _folder(name_or_path)
    size = size or natural_size(name_or_path)
    if folder is not None:
        domain = read_labelled_folder(
            folder, train, size, on_unreadable, seed, fit, trained_on, columns, cache
        )
        if train:
            say_what_was_seen(folder, len(domain), len(domain.classes), " to train on")
        return domain
    domain = datasets[str(name_or_path)](Path(root), train, download)
    if domain.images.size == size:
        return domain
    pixels = domain.images.gather(torch.arange(len(domain)))
    return LabelledImages(TensorImages(resize(pixels, size)), domain.labels, domain.classes)


def load_unlabelled(
    name_or_path: str | Path,
    *,
    train: bool,
    root: Path,
    size: int | None = None,
    download: bool = False,
    on_unreadable: OnUnreadable = "skip",
    seed: int = 0,
    fit: Fit = "crop",
    columns: Sequence[str] = (),
    cache: str = "none",
) -> UnlabelledImages:
    """Load a domain without labels; a flat folder is accepted as well.

    Arguments and errors as in `load_labelled`.
    """
    folder = _folder(name_or_path)
    if folder is not None:
        size = size or natural_size(folder)
        domain = read_unlabelled_folder(
            folder, train, size, on_unreadable, seed, fit, columns, cache
        )
        if train:
            say_what_was_seen(folder, len(domain), purpose=" to train on")
        return domain
    return load_labelled(
        name_or_path, train=train, root=root, size=size, download=download
    ).without_labels()


def load_sample(
    name_or_path: str | Path,
    count: int,
    *,
    train: bool,
    root: Path,
    size: int | None = None,
    download: bool = False,
    on_unreadable: OnUnreadable = "skip",
    seed: int = 0,
    fit: Fit = "crop",
    columns: Sequence[str] = (),
    cache: str = "none",
) -> LabelledImages | NamedImages:
    """Load a random sample of a domain, in its order, with names, and labels if it has any.

    From a folder only the chosen images are opened. Arguments and errors as in `load_labelled`.

    Args:
        name_or_path: also a flat folder, or a list without labels.
        count: maximum number of images.
        train: whether to load the training part; otherwise the test part.
        root: folder of the published dataset files.
        size: pixels per side.
        download: whether missing published files may be downloaded.
        on_unreadable: skip broken files in a folder with a warning, or raise.
        seed: seed of the random choice.
        fit: how an image of a folder becomes square.
        columns: the columns of a table.
        cache: where the pixels of a large folder go.
    """
    folder = _folder(name_or_path)
    generator = torch.Generator().manual_seed(seed)
    if folder is None:
        domain = load_labelled(name_or_path, train=train, root=root, size=size, download=download)
        rows = torch.randperm(len(domain), generator=generator)[:count].sort().values
        images = TensorImages(domain.images.gather(rows))
        names = tuple(f"{name_or_path} {row}" for row in rows.tolist())
        return LabelledImages(images, domain.labels[rows], domain.classes, names)
    files, labels, classes = list_folder(folder, train, columns=columns)
    chosen = torch.randperm(len(files), generator=generator)[:count].sort().values.tolist()
    sample, kept = read_files(
        [files[row] for row in chosen], size or natural_size(folder), on_unreadable, fit, cache
    )
    row_by_file = {files[row]: row for row in chosen}
    read = [row_by_file[file] for file in kept]
    names = tuple(map(str, kept))
    if labels is None:
        return NamedImages(sample.images, names)
    return LabelledImages(sample.images, labels[read], classes, names)


def is_dataset(name_or_path: str | Path) -> bool:
    """Return whether this names a registered dataset, and no path.

    Raises:
        UnknownNameError: it is neither.
    """
    return _folder(name_or_path) is None


def folders_among(*data: object) -> tuple[Path, ...]:
    """Return the absolute paths of those that are paths: no names of datasets, images, streams."""
    paths = [each for each in data if isinstance(each, Path)]
    texts = (each for each in data if isinstance(each, str) and not is_stream(each))
    paths += [Path(each) for each in texts if each not in datasets]
    return tuple(path if is_named(path) else path.absolute() for path in paths)


def natural_size(name_or_path: str | Path) -> int:
    """Return the default pixels per side of a domain."""
    if is_stream(name_or_path):
        return PHOTO_SIZE
    if is_array_file(name_or_path):
        return size_of_file(Path(name_or_path))
    return DIGIT_SIZE if is_dataset(name_or_path) else PHOTO_SIZE


def view_family(name_or_path: str | Path) -> Literal["digits", "photos"]:
    """Return the augmentation family of a domain; digits, and arrays, must not be mirrored."""
    if is_stream(name_or_path):
        return "photos"
    return "digits" if is_array_file(name_or_path) or is_dataset(name_or_path) else "photos"


def _folder(name_or_path: str | Path) -> Path | None:
    """Return the path of a folder, or None for a registered name, which takes precedence.

    Raises:
        UnknownNameError: `name_or_path` is neither.
    """
    path, text = Path(name_or_path), str(name_or_path)
    if is_stream(text):
        raise ValueError(
            f"{text} is a stream, whose address, as text, may be a source or a target to train on "
            "and nothing else: copy the shards here and give their path, or give other images"
        )
    if isinstance(name_or_path, str) and text in datasets:
        return None
    known = path.exists() or is_table(path) or is_packed(path)
    separators = [separator for separator in (os.sep, os.altsep) if separator]
    if isinstance(name_or_path, Path) or known or any(sep in text for sep in separators):
        return path
    try:
        datasets[text]
    except UnknownNameError as error:
        hint = f"For a folder of images give its path: ./{text} does not exist."
        error.args = (f"{error} {hint}",)
        raise
    return None
