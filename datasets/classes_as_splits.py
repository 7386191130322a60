"""Notice that Hugging Face's library took folders of classes for splits, and left out the others.

Its image folder takes a folder called "train" or "test_tube" for a split, also where it is a class,
and then sees no other folder. Real splits have class folders in them, or hold most of the images.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from dacbn.datasets.decoding import SUFFIXES
from dacbn.datasets.layout import images_in
from dacbn.datasets.many_files import shortened

# "train" and "train_interior", as the library has it (SPLIT_KEYWORDS in datasets/data_files.py)
SPLIT = re.compile(
    r"(^|[-._ 0-9])(train(ing)?|valid(ation)?|val|dev|test(ing)?|eval(uation)?)($|[-._ 0-9])"
)


def name_left_out(taken: Iterable[str], files: Iterable[str]) -> str:
    """Say which folders are in no split, although they look like classes beside others; or "".

    Args:
        taken: paths of all files in the splits, with slashes.
        files: paths of all files that there are.

    Example:
        >>> name_left_out(["train/1.jpg"], ["train/1.jpg", "bus/1.jpg", "car/1.jpg"])
        "the library takes 'train' for a split and leaves out 'bus', 'car'"
    """
    seen = _folders(taken)
    if not all(SPLIT.search(folder.name) for folder in seen):
        return ""  # of classes in splits
    tops, others = {folder.parent for folder in seen}, _folders(files)
    beside = {
        folder: count
        for folder, count in others.items()
        if folder.parent in tops and not SPLIT.search(folder.name)
    }
    if len(beside) <= len(seen) or sum(beside.values()) <= seen.total():
        return ""  # pictures of a description
    return f"the library takes {_names(seen)} for a split and leaves out {_names(beside)}"


def check_files(data: Any, classes: Sequence[str] | None, place: str) -> None:
    """Refuse a dataset of files on this disk if classes beside them were left out.

    Args:
        data: one split with one column, of images that are not decoded.
        classes: names of its labels, or None.
        place: where it is, for messages.

    Raises:
        ValueError: they were.
    """
    if not len(data) or not all(map(SPLIT.search, classes or ())):
        return
    if not SPLIT.search(_path(data[0]).parent.name):
        return
    (images,) = data[:].values()
    taken = [_path({"": image}) for image in images]
    tops = {path.parent.parent for path in taken}
    folders = [each for top in tops if top.is_dir() for each in top.iterdir() if each.is_dir()]
    files = [file.as_posix() for folder in folders for file in images_in(folder)]
    if found := name_left_out((path.as_posix() for path in taken), files):
        raise ValueError(
            f"{place} lacks classes, as {found}: give the folder {min(tops)} itself, or "
            f"{taken[0].parent} for these images alone"
        )


def _path(row: dict[str, Any]) -> Path:
    """Return the path of the image in a row of one column; one whose bytes are there has none."""
    (image,) = row.values()
    return Path((image and image["bytes"] is None and image["path"]) or "")


def _folders(files: Iterable[str]) -> Counter[PurePosixPath]:
    """Count the images by the folder that they lie in."""
    paths = map(PurePosixPath, files)
    return Counter(path.parent for path in paths if path.suffix.lower() in SUFFIXES)


def _names(folders: Iterable[PurePosixPath]) -> str:
    return shortened(sorted(repr(folder.name) for folder in folders))
