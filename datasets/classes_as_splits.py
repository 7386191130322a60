"""Notice that Hugging Face's library took folders of classes for splits.

Its image folder takes a folder called "train" or "test_tube" for a split, also where it is a class.
Then it sees no folder beside it, where real splits have class folders in them, or hold most of the
images. In real splits, the class "train" of the split "test" is also in the split "train".
"""

import os
import posixpath
import re
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, combinations
from pathlib import Path, PurePosixPath
from typing import Any

from dacbn.datasets.decoding import SUFFIXES
from dacbn.datasets.layout import images_in
from dacbn.datasets.many_files import shortened

# "train" and "train_interior", as the library has it (SPLIT_KEYWORDS in datasets/data_files.py)
KINDS = {
    split: re.compile(rf"(^|[-._ 0-9/])({words})($|[-._ 0-9/])")
    for split, words in {
        "train": "train(ing)?",
        "validation": "valid(ation)?|val|dev",
        "test": "test(ing)?|eval(uation)?",
    }.items()
}
SPLIT = re.compile("|".join(kind.pattern for kind in KINDS.values()))
METADATA = {"metadata.csv", "metadata.jsonl", "metadata.parquet"}
BY_SPLIT = "data_files={'train': 'train/**', 'test': 'test/**'}"


def name_left_out(taken: Iterable[str], files: Iterable[str]) -> tuple[str, bool]:
    """Say which folders are in no split, although they lie beside others; or "".

    Args:
        taken: paths of all files in the splits, with slashes.
        files: paths of all files that there are.

    Returns:
        the words, and whether the folders hold so much that they must be classes.

    Example:
        >>> name_left_out(["train/1.jpg"], ["train/1.jpg", "bus/1.jpg", "car/1.jpg"])
        ("the library takes 'train' for a split and leaves out 'bus', 'car'", True)
    """
    taken = set(taken)
    seen = _folders(taken)
    if not all(SPLIT.search(folder.name) for folder in seen):
        return "", False  # of classes in splits
    if any(PurePosixPath(file).name in METADATA for file in taken):
        return "", False  # which has the labels, or says that there are none
    tops, others = {folder.parent for folder in seen}, _folders(files)
    beside = {
        folder: count
        for folder, count in others.items()
        if folder.parent in tops and not SPLIT.search(folder.name)
    }
    if not beside:
        return "", False
    certain = len(beside) > len(seen) and sum(beside.values()) > seen.total()
    found = f"the library takes {_names(seen)} for a split and leaves out {_names(beside)}"
    return found, certain


def name_shared(splits: Mapping[str, Iterable[str]]) -> str:
    """Say which folders are in two splits because their paths name both; or "".

    Args:
        splits: paths of the files of each split, with slashes.

    Example:
        >>> shared = "test/train/1.jpg"
        >>> name_shared({"train": ["train/bus/1.jpg", shared], "test": ["test/bus/1.jpg", shared]})
        "the splits 'train' and 'test' share the images of test/train"
    """
    sets = {split: set(files) for split, files in splits.items() if split in KINDS}
    for one, two in combinations(sets, 2):
        both = sets[one] & sets[two]
        folders = {folder.as_posix() for folder in _folders(both)}
        if folders and all(KINDS[one].search(file) and KINDS[two].search(file) for file in both):
            return (
                f"the splits {one!r} and {two!r} share the images of {shortened(sorted(folders))}"
            )
    return ""


def name_foreign(files: Iterable[str]) -> str:
    """Say which folders of one split lie in the folder of another one; or "".

    Args:
        files: paths of its files, with slashes.

    Example:
        >>> name_foreign(["photos/train/bus/1.jpg", "photos/test/train/1.jpg"])
        'one split holds the images of photos/test/train'
    """
    folders = [folder.as_posix() for folder in _folders(files)]
    top = posixpath.commonpath(folders) if folders else ""
    below = {folder: PurePosixPath(folder).relative_to(top).parts for folder in folders}
    kinds = [
        kind
        for kind in KINDS.values()
        if all(kind.search("/".join(each)) for each in below.values())
    ]
    if not kinds:
        return ""
    first = {
        folder: next(depth for depth, part in enumerate(parts) if SPLIT.search(part))
        for folder, parts in below.items()
    }
    own = {
        folder
        for folder, depth in first.items()
        if any(kind.search(below[folder][depth]) for kind in kinds)
    }
    depths = {  # of splits with other classes: "train/train" may be a class that was chosen
        first[folder]
        for folder in own
        if not SPLIT.search("/".join(below[folder][first[folder] + 1 :]))
    }
    foreign = sorted(each for each in folders if each not in own and first[each] in depths)
    return f"one split holds the images of {shortened(foreign)}" if foreign else ""


def check_splits(splits: Mapping[str, Any], place: str) -> None:
    """Refuse splits with images of other splits, as far as they are files on this disk.

    Args:
        splits: datasets with one column, of images that are not decoded, by their names.
        place: where they are, for messages.

    Raises:
        ValueError: they have some.
    """
    paths = {split: _paths(data) for split, data in splits.items()}
    if found := name_shared(paths) or next(filter(None, map(name_foreign, paths.values())), ""):
        top = posixpath.commonpath([each.as_posix() for each in _folders(chain(*paths.values()))])
        raise ValueError(
            f"{place} mixes splits, as the library takes a class for a split, and so {found}: give "
            f"the folder {top} itself, or load each split by its folder, as in {BY_SPLIT}"
        )


def check_files(data: Any, classes: Sequence[str] | None, place: str) -> None:
    """Refuse a dataset of files on this disk if classes beside them were left out.

    Args:
        data: one split with one column, of images that are not decoded.
        classes: names of its labels, or None.
        place: where it is, for messages.

    Raises:
        ValueError: they surely were; where they may be, there is a warning.
    """
    taken = _paths(data) if all(map(SPLIT.search, classes or ())) else []
    seen = {Path(folder) for folder in _folders(taken)}
    if not seen or not all(SPLIT.search(folder.name) for folder in seen):
        return
    tops = {folder.parent for folder in seen}
    beside = [each for top in tops if top.is_dir() for each in top.iterdir() if each.is_dir()]
    shown = [folder for folder in beside if not folder.name.startswith((".", "__"))]
    files = [file.as_posix() for folder in shown for file in images_in(folder)]
    metadata = [
        (folder / name).as_posix()
        for folder in seen
        for name in METADATA
        if (folder / name).is_file()
    ]
    found, certain = name_left_out([*taken, *metadata], files)
    cure = f"give the folder {min(tops)} itself"
    if certain:
        raise ValueError(
            f"{place} lacks classes, as {found}: {cure}, or {min(seen)} for these images alone"
        )
    if found:
        warnings.warn(
            f"{place} may lack classes, as {found}: if those are classes, {cure}", stacklevel=4
        )


def _paths(data: Any) -> list[str]:
    """Return the paths of images that are files on this disk, with slashes, without their bytes."""
    (image,) = data[0].values() if len(data) else (None,)
    if image is None or image["bytes"] is not None:
        return []
    chunks = data.with_format("arrow")[:].column(0).chunks
    paths = [path for chunk in chunks for path in chunk.field("path").to_pylist()]
    return [path.replace(os.sep, "/") for path in paths if path and os.path.isabs(path)]


def _folders(files: Iterable[str]) -> Counter[PurePosixPath]:
    """Count the images by the folder that they lie in."""
    images = (file for file in files if posixpath.splitext(file)[1].lower() in SUFFIXES)
    counts = Counter(map(posixpath.dirname, images))
    return Counter({PurePosixPath(folder): count for folder, count in counts.items()})


def _names(folders: Iterable[PurePosixPath]) -> str:
    return shortened(sorted(repr(folder.name) for folder in folders))
