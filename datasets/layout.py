"""Tell what a folder holds: parts, class folders, or images without labels; and split it.

Class folders go before images that lie beside them. A layout that cannot be told is refused.
"""

import hashlib
import os
import unicodedata
import warnings
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, TypeVar

from dacbn.datasets.decoding import SUFFIXES
from dacbn.datasets.many_files import shortened

TEST_FRACTION = 0.2
PARTS = {  # names of parts, in any case
    "train": ("train", "training"),
    "test": ("test", "testing"),
    "val": ("val", "valid", "validation"),
}
PART_OF = {name: part for part, names in PARTS.items() for name in names}
SAID_NOTHING_OF = {"desktop.ini", "thumbs.db"}
File = TypeVar("File", bound="str | os.PathLike[str]")


class Parts(NamedTuple):
    """The folders of the training and the test part."""

    train: Path
    test: Path


def list_classes(
    path: Path, train: bool, seed: int = 0, seen: Collection[str] | None = None
) -> dict[str, list[Path]]:
    """List the image files of the training or test part of a folder, by class.

    Args:
        path: the folder.
        train: whether to list the training part; otherwise the test part.
        seed: seed of the split of a folder without parts.
        seen: real paths of the files that were trained on, if they are known: a test part has none
            of them, and a folder without parts is one, without the rest.

    Raises:
        ValueError: there are no class folders, or it cannot be told what the folders are.
    """
    parts = find_parts(path)
    if parts is None:
        top = _descend(path)
        found = _class_folders(top)
        return {name: _paths(split(files, train, top, seed, seen)) for name, files in found.items()}
    _name_strays(path, "parts")
    found = _class_folders(parts.train if train else parts.test)
    if seen is not None:
        found = {name: unseen(files, seen) for name, files in found.items()}
    by_class = {name: _paths(files) for name, files in found.items()}
    if train or not _folders_with_images(parts.train):
        return by_class
    known = {folder.name for folder in _folders_with_images(parts.train)}
    if unknown := sorted(by_class.keys() - known):
        raise ValueError(f"{parts.test} has classes that {parts.train} lacks: {unknown}")
    return {name: by_class.get(name, []) for name in sorted(known)}


def flat_folder(path: Path, train: bool) -> Path | None:
    """Return the folder, a part of `path` or itself, whose images lie in no class folder.

    Raises:
        ValueError: it cannot be told what the folders are.
    """
    parts = find_parts(path)
    folder = _descend(path) if parts is None else parts.train if train else parts.test
    nested = _folders_with_images(folder)
    return folder if images_in(folder) and not nested else None


def find_parts(path: Path) -> Parts | None:
    """Return the parts of a folder; None if its folders are classes.

    Raises:
        ValueError: it cannot be told, or a part is missing.
    """
    folders = _folders_with_images(path)
    found: dict[str, list[Path]] = {}
    for folder in folders:
        if part := PART_OF.get(folder.name.lower()):
            found.setdefault(part, []).append(folder)
    parts = [folder for part in found.values() for folder in part]
    others = [folder.name for folder in folders if folder not in parts]
    if not parts:
        return None
    names = sorted(part.name for part in parts)
    if others:
        if "train" in found and len(found) > 1 and any(map(_folders_with_images, parts)):
            raise ValueError(
                f"cannot tell whether {names} in {path} are parts or classes, because {others} lie "
                "beside them: move one or the other away"
            )
        return None
    if doubled := next((part for part in found.values() if len(part) > 1), None):
        raise ValueError(f"{' and '.join(map(str, doubled))} are the same part: keep one")
    if "train" not in found or len(found) == 1:
        raise ValueError(
            f"{path} holds only {names}, a part of a dataset: add the other part (train or test), "
            f"or give {parts[0]}"
        )
    tests = [folder for part in ("test", "val") for folder in found.get(part, [])]
    labelled = [folder for folder in tests if _folders_with_images(folder)]
    return Parts(found["train"][0], (labelled or tests)[0])


def split(
    files: Sequence[File],
    train: bool,
    top: Path,
    seed: int = 0,
    seen: Collection[str] | None = None,
) -> list[File]:
    """Return the files of one class that belong to the training part, or to the test part.

    All files that are not among those `seen` are tested, if these are known. Otherwise about a
    fifth are tested. A file's part depends on its own path below `top` and on nothing
    else; only a class that would have none in a part has its nearest file moved there.
    """
    if seen is not None:
        return unseen(files, seen)
    paths = relative_paths(files, top)
    numbers = [_number(path, seed) for path in paths]
    order = sorted(range(len(files)), key=numbers.__getitem__)
    count = sum(number < TEST_FRACTION for number in numbers)
    count = min(max(1, count), len(files) - 1)
    chosen = set(order[count:] if train else order[:count])
    return [file for position, file in enumerate(files) if position in chosen]


def unseen(files: Sequence[File], seen: Collection[str]) -> list[File]:
    """Return the files whose real paths are not among those `seen`."""
    return [file for file, real in zip(files, real_paths(files), strict=True) if real not in seen]


def real_paths(files: Sequence[str | os.PathLike[str]]) -> list[str]:
    """Return the paths of files without links; a folder of many files is looked up once."""
    real = lru_cache(maxsize=None)(os.path.realpath)
    paths = [os.path.join(real(folder), name) for folder, name in map(os.path.split, files)]
    return [os.path.realpath(path) if os.path.islink(path) else path for path in paths]


def relative_paths(files: Sequence[str | os.PathLike[str]], top: Path) -> list[str]:
    """Return the paths of files below a folder, or from it, with slashes."""
    below = lru_cache(maxsize=None)(lambda folder: os.path.relpath(folder or os.curdir, top))
    paths = (os.path.join(below(folder), name) for folder, name in map(os.path.split, files))
    return [path.removeprefix(os.path.join(os.curdir, "")).replace(os.sep, "/") for path in paths]


def images_in(folder: Path) -> list[Path]:
    """List the images that lie in a folder itself."""
    return sorted(file for file in folder.iterdir() if not file.is_dir() and _is_image(file.name))


def images_below(folder: Path) -> list[Path]:
    """List the images of a folder at any depth; warn of files that are left out."""
    images, others = _sort(folder)
    _name_left_out(folder, others)
    return _paths(images)


def _number(path: str, seed: int) -> float:
    """Draw a number in [0, 1) from a path; the same on every machine."""
    text = unicodedata.normalize("NFC", f"{seed}/{path}")  # macOS writes it otherwise
    digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:8]) / 2**64


def _class_folders(folder: Path) -> dict[str, list[str]]:
    found = {child: _sort(child) for child in _folders_in(folder)}
    by_class = {child.name: images for child, (images, _) in found.items()}
    others = [other for _, left_out in found.values() for other in left_out]
    if not by_class and images_in(folder):
        raise ValueError(f"{folder} is a flat folder of images: make one sub-folder per class")
    if not any(by_class.values()):
        left_out = f"; it has {_count_kinds(others)}, which is not read" if others else ""
        raise ValueError(f"{folder} holds no images: add some (.jpg, .png, ...){left_out}")
    if empty := [name for name, members in by_class.items() if not members]:
        raise ValueError(f"class folders {empty} in {folder} hold no images: fill or delete them")
    if len(by_class) == 1 and images_in(folder):
        raise ValueError(
            f"cannot tell whether {folder} is flat or {next(iter(by_class))!r} is a class, because "
            "both hold images: move one or the other away"
        )
    _name_strays(folder, "class folders")
    _name_left_out(folder, others)
    _check_nested(folder, list(found))
    return by_class


def _check_nested(folder: Path, classes: Sequence[Path]) -> None:
    """Refuse parts within classes; warn where the class folders may be domains."""
    inner = [{child.name for child in _folders_with_images(each)} for each in classes]
    if len(inner) < 2 or not inner[0] or any(names != inner[0] for names in inner):
        return
    same = sorted(inner[0])
    if len(same) > 1 and all(name.lower() in PART_OF for name in same):
        raise ValueError(f"the class folders of {folder} hold parts, {same}: put classes in parts")
    if len(same) > 1 and not any(images_in(each) for each in classes):
        warnings.warn(
            f"the folders of {folder} all hold the same folders, {shortened(same)}: these look "
            "like classes within domains or parts, but the outer folders are taken as classes",
            stacklevel=2,
        )


def _name_strays(folder: Path, kind: str) -> None:
    if strays := images_in(folder):
        count = "1 image lies" if len(strays) == 1 else f"{len(strays)} images lie"
        names = shortened([file.name for file in strays])
        warnings.warn(f"{count} beside the {kind} of {folder}: {names}; left out", stacklevel=2)


def _name_left_out(folder: Path, others: Sequence[Path]) -> None:
    if others:
        warnings.warn(
            f"left out in {folder}, as no images that can be read: {_count_kinds(others)}",
            stacklevel=2,
        )


def _count_kinds(files: Sequence[Path]) -> str:
    kinds = Counter(
        "links to folders" if file.is_dir() else file.suffix.lower() or file.name for file in files
    )
    return shortened([f"{count} {kind}" for kind, count in kinds.most_common()])


def _walk(folder: Path) -> Iterator[tuple[str, bool]]:
    """Yield the files below a folder, and whether they are images; hidden ones are ignored."""
    for place, folders, names in os.walk(folder):
        links = [name for name in folders if os.path.islink(os.path.join(place, name))]
        folders[:] = [name for name in folders if not _is_hidden(name) and name not in links]
        for name in (*names, *links):
            if name not in links and _is_image(name):
                yield os.path.join(place, name), True
            elif not _is_hidden(name) and name.lower() not in SAID_NOTHING_OF:
                yield os.path.join(place, name), False


def _paths(files: Sequence[str]) -> list[Path]:
    return [Path(file) for file in files]  # slow, so only of the files that are needed


def _sort(folder: Path) -> tuple[list[str], list[Path]]:
    """List the images below a folder, and the other files."""
    # the order of paths, which Python finds slowly: that of their parts, in lower case on Windows
    found = sorted(_walk(folder), key=lambda each: os.path.normcase(each[0]).replace(os.sep, "\0"))
    images = [file for file, good in found if good]
    return images, _paths([file for file, good in found if not good])


def _is_image(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in SUFFIXES and not name.startswith(".")


def _is_hidden(name: str) -> bool:
    return name.startswith((".", "__"))


def _folders_in(path: Path) -> list[Path]:
    with os.scandir(path) as children:  # a stat of each file of 100,000 takes seconds
        return sorted(
            path / child.name for child in children if not _is_hidden(child.name) and child.is_dir()
        )


def _folders_with_images(path: Path) -> list[Path]:
    return [child for child in _folders_in(path) if any(image for _, image in _walk(child))]


def _descend(path: Path) -> Path:
    """Return `path/images` if it is the only sub-folder, as in Office-31; otherwise `path`."""
    if [child.name for child in _folders_in(path)] != ["images"]:
        return path
    if images_in(path) and not _folders_with_images(path / "images"):
        raise ValueError(f"both {path} and {path}/images hold images: move one away")
    _name_strays(path, "folder of images")
    return path / "images"
