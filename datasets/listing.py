"""List the image files of folders, tables and other places, without opening them."""

import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from dacbn.datasets.addresses import read_rows
from dacbn.datasets.decoding import SUFFIXES
from dacbn.datasets.layout import flat_folder, images_below, list_classes, real_paths
from dacbn.datasets.npz import is_array_row
from dacbn.datasets.packed import ImageFile, PackedFile
from dacbn.datasets.packed_folders import find_packed, is_packed
from dacbn.datasets.parts import choose_part
from dacbn.datasets.rows import list_rows, list_rows_by_class
from dacbn.datasets.streams import is_stream

WHERE_TO_GET = {  # folders that recipes read
    "office31": "get Office-31 from https://faculty.cc.gatech.edu/~judy/domainadapt and unpack it "
    "there, or name your folders"
}


class TrainedPlaces(tuple[Path, ...]):
    """Folders and lists that were trained on, whose files are listed once for several test sets."""

    def files(self, place: Path, seed: int, columns: Sequence[str]) -> list[str]:
        """Return the real paths of the training part of one, as they are when first asked for."""
        known: dict[object, list[str]] = self.__dict__.setdefault("known", {})
        key = place, seed, tuple(columns)
        if key not in known:
            known[key] = real_paths(list_folder(place, True, seed, columns=columns)[0])
        return known[key]


def list_images(*places: str | ImageFile, columns: Sequence[str] = ()) -> list[ImageFile]:
    """List image files, in the order in which a trained network answers them.

    Args:
        places: image files, which are taken as they are; folders, of which all images at any depth
            are listed, sorted by path; tables and lists of files (.txt, .csv, .parquet), of which
            some may be missing, files of arrays (.npz), shards and datasets of Hugging Face, in
            their order.
        columns: columns of the tables, as in `load_labelled`.

    Raises:
        FileNotFoundError: one does not exist.
        ValueError: there are no images.
    """
    files: list[ImageFile] = []
    for place in places:
        files += [place] if isinstance(place, PackedFile) else _images_of(Path(place), columns)
    if not files:
        raise ValueError(f"{', '.join(map(str, places))} holds no images: add some (.png, .jpg, …)")
    return files


def list_folder(
    path: Path,
    train: bool,
    seed: int = 0,
    trained_on: Sequence[Path] | None = None,
    columns: Sequence[str] = (),
) -> tuple[list[ImageFile], Tensor | None, tuple[str, ...]]:
    """List the image files of the training or test part of a folder, without opening them.

    Args:
        path: a folder with one sub-folder per class, a flat folder, a table or list of files or
            one of its domains, a file of arrays, one image, or what `is_packed` takes.
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
    by_class: Mapping[str, Sequence[ImageFile]]
    if (parts := find_packed(path)) is not None:
        part = choose_part(parts, str(path), train, seed, seen)
        if isinstance(part, list):
            return [*part], None, ()
        by_class = part
    elif (rows := read_rows(path, columns)) is not None:
        if rows.labels is None:
            return [*list_rows(rows, train)], None, ()
        by_class = list_rows_by_class(rows, train, seed, seen)
    elif path.is_file() and path.suffix.lower() in SUFFIXES:
        return [path], None, ()
    else:
        flat = flat_folder(_existing(path), train)
        if flat is not None:
            return [*images_below(flat)], None, ()  # there are none in its sub-folders
        by_class = list_classes(path, train, seed, seen)
    members: list[Sequence[ImageFile]] = [*by_class.values()]
    listed = [file for each in members for file in each]
    if not listed:
        why = "each class has one image" if seen is None else "all images were trained on"
        raise ValueError(
            f"{path} leaves nothing to test on, because {why}: add images, or a folder test"
        )
    positions = [position for position, each in enumerate(members) for _ in each]
    return listed, torch.tensor(positions), tuple(by_class)


def is_flat_folder(name_or_path: str | Path, columns: Sequence[str] = ()) -> bool:
    """Return whether this is a folder, table, list or file of images without labels.

    Of a stream it is not asked.
    """
    path = Path(name_or_path)
    if is_stream(name_or_path):
        return False
    if is_packed(path):
        return list_folder(path, train=False)[1] is None
    if (rows := read_rows(path, columns)) is not None:
        return rows.labels is None
    return path.is_dir() and flat_folder(path, train=False) is not None


def _images_of(place: Path, columns: Sequence[str]) -> Sequence[ImageFile]:
    if (parts := find_packed(place)) is not None:
        return [file for part in parts.values() for file in part.files]
    if (rows := read_rows(place, columns, may_miss=True)) is not None:
        return rows.files
    if place.is_dir():
        return images_below(place)
    if not (place.exists() or is_array_row(place)):
        raise FileNotFoundError(f"{place} does not exist: give image files or folders of them")
    return [place]


def _files_trained_on(
    places: Sequence[Path], tested: Path, seed: int, columns: Sequence[str]
) -> set[str] | None:
    """Return the real paths of the training parts of folders and lists; None if one is lost.

    A lost one may have become what is tested, unless this was trained on itself.
    """
    if not isinstance(places, TrainedPlaces):
        places = TrainedPlaces(places)
    seen: set[str] = set()
    itself = os.path.realpath(tested) in map(os.path.realpath, places)
    for place in places:
        try:
            seen.update(places.files(place, seed, columns))
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


def _existing(path: Path) -> Path:
    if not path.is_dir():
        kind = "is a file" if path.exists() else "does not exist"
        cure = "give the path of a folder of images, or of a list of files and labels (.txt, .csv)"
        published = (text for name, text in WHERE_TO_GET.items() if name in path.parts)
        raise FileNotFoundError(f"{path} {kind}: {next(published, cure)}")
    return path
