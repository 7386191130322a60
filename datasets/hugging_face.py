"""Read the datasets of Hugging Face's library: images are decoded here, labels go by their names.

Rows are read when they are asked for, without the formats and transforms of the dataset, and the
bytes of an image go through the same decoding as those of a file.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, TypeGuard

from dacbn.connection import try_to_connect
from dacbn.datasets.classes_as_splits import (
    BY_SPLIT,
    check_files,
    check_splits,
    name_left_out,
    name_shared,
)
from dacbn.datasets.packed import PackedFile
from dacbn.datasets.parts import Rows

PREFIX = "hf:"
TYPES = {"Dataset", "DatasetDict", "IterableDataset", "IterableDatasetDict"}
SAVED = ("dataset_dict.json", "state.json")  # files that `save_to_disk` writes
IMAGES, LABELS = ("image", "img", "images"), ("label", "labels", "class", "target")
NO_LABELS = (None, -1)  # what the library writes where a label is missing


class HubDataset(Protocol):
    """A dataset of the library, or several by the names of their splits."""

    def select_columns(self, column_names: Any) -> Any:
        """Return the dataset with some of its columns."""

    def cast_column(self, column: str, feature: Any) -> Any:
        """Return the dataset with another type of a column."""


@dataclass(frozen=True, slots=True)
class HubImage(PackedFile):
    """The image in one row.

    Args:
        data: a dataset with one column, of images that are not decoded.
        row: number of the row.
        place: path of the part, for the name of the image.
    """

    data: Any
    row: int
    place: str

    def __fspath__(self) -> str:
        return f"{self.place}/{self.row}"

    def read_bytes(self) -> bytes:
        """Return the bytes in the row, or of the file that it names."""
        (image,) = self.data[self.row].values()
        if image is None:
            raise OSError("its row has no image")
        if image["bytes"] is None:
            return Path(image["path"]).read_bytes()
        return bytes(image["bytes"])


def is_named(path: str | Path) -> bool:
    """Return whether this is the name of a dataset on the hub, as in "hf:ylecun/mnist"."""
    return str(path).startswith(PREFIX)


def is_saved(path: str | Path) -> bool:
    """Return whether this is a folder that `save_to_disk` wrote."""
    return any((Path(path) / name).is_file() for name in SAVED)


def is_hugging_face(data: Any) -> TypeGuard[HubDataset]:
    """Return whether this is a dataset of the library, which need not be imported for that."""
    return any(
        kind.__module__.split(".")[0] == "datasets" and kind.__name__ in TYPES
        for kind in type(data).__mro__
    )


def load_saved(path: str | Path) -> HubDataset:
    """Open a folder that `save_to_disk` wrote, without reading its images.

    Raises:
        ModuleNotFoundError: the library is not installed.
        ValueError: the folder cannot be read.
    """
    try:
        data: HubDataset = _library(path).load_from_disk(str(path))
        return data
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} cannot be read as a dataset of Hugging Face ({_first_line(error)}): write it "
            "again with save_to_disk"
        ) from error


def load_named(path: str | Path) -> HubDataset:
    """Load a dataset of the hub, from the library's cache or else the network.

    Raises:
        FileNotFoundError: there is no such dataset, or it cannot be downloaded.
        ModuleNotFoundError: the library is not installed.
        ValueError: the library would leave out some of its classes, or put one into two splits.
    """
    from huggingface_hub import constants

    library, name = _library(path), str(path).removeprefix(PREFIX)
    try:
        cache = import_module("datasets.packaged_modules.cache.cache").Cache(
            repo_id=name, dataset_name=name.split("/")[-1], version="auto", hash="auto"
        )
        data: HubDataset = cache.as_dataset()
        return data
    except ValueError as error:  # it is not in the cache, or several configurations are
        if "multiple" in str(error):
            raise _no_download(name, _first_line(error)) from error
    reason = "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else None
    if reason := reason or try_to_connect(constants.ENDPOINT):
        raise _no_download(name, reason)
    try:
        builder = library.load_dataset_builder(name)
        shared, left_out, certain = _mistaken(builder)
        if not shared and not certain:
            data = library.load_dataset(name)
    except Exception as error:  # of the library, of the network, and of parsers of files
        raise _no_download(name, _first_line(error)) from error
    cure = "run datasets.load_dataset({!r}, {}).save_to_disk('FOLDER') and give FOLDER"
    if shared:
        cure = cure.format(name, BY_SPLIT)
        raise ValueError(f"{path} mixes splits, as {shared}, a class of such a name: {cure}")
    cure = cure.format(name, "data_files={'train': '**'}")
    if certain:
        raise ValueError(f"{path} lacks classes, as {left_out}: {cure}")
    if left_out:
        warnings.warn(
            f"{path} may lack classes, as {left_out}: if those are classes, {cure}", stacklevel=2
        )
    return data


def _mistaken(builder: Any) -> tuple[str, str, bool]:
    """Say what the library takes for splits in a dataset that it has not downloaded.

    Returns:
        which classes are in two splits; which folders are in none, and whether they are classes.
    """
    if builder.name != "imagefolder" or not builder.config.data_files:
        return "", "", False
    splits = builder.config.data_files
    everything = import_module("datasets.data_files").resolve_pattern("**", builder.base_path)
    taken = (file for files in splits.values() for file in files)
    return name_shared(splits), *name_left_out(taken, everything)


def list_rows(data: HubDataset, place: str = "dataset") -> dict[str, Rows]:
    """List the images and labels of every split, without reading images.

    Args:
        data: a dataset of the library, or several by the names of their splits.
        place: where it is, for messages.

    Raises:
        ValueError: there is no column of images, columns are not clear, some labels are missing, or
            the library has left out some classes, or has put a class into two splits.
    """
    splits = data if isinstance(data, Mapping) else {"": data}
    rows = {
        str(split): _list_split(each, f"{place}/{split}" if split else place)
        for split, each in splits.items()
    }
    first = ((split, image) for split, each in rows.items() for image in each.files[:1])
    check_splits({k: image.data for k, image in first if isinstance(image, HubImage)}, place)
    return rows


def _list_split(data: Any, place: str) -> Rows:
    if not hasattr(data, "__len__"):
        raise ValueError(
            f"{place} is streamed, so its rows have no numbers: load it without streaming=True, or "
            "give the pattern of webdataset shards"
        )
    image = _column(data, place, "Image", IMAGES)
    if image is None:
        raise ValueError(
            f"{place} has no column of images (its columns: {', '.join(data.column_names)}): cast "
            "one, as in data.cast_column('file', datasets.Image())"
        )
    plain = data.with_format(None)
    label = _column(data, place, "ClassLabel", LABELS)
    encoded = plain.select_columns([image]).cast_column(image, _library(place).Image(decode=False))
    classes = getattr(data.features.get(label), "names", None)
    if label is None or classes is not None:  # else a description has the labels
        check_files(encoded, classes, place)
    files = [HubImage(encoded, row, place) for row in range(len(data))]
    return Rows(files, None if label is None else _labels(plain, label, place))


def _column(data: Any, place: str, feature: str, names: Sequence[str]) -> str | None:
    """Return the column of a feature, or of labels with a usual name; None if there is none."""
    kinds = {name: type(kind).__name__ for name, kind in data.features.items()}
    found = [name for name, kind in kinds.items() if kind == feature]
    if not found and feature == "ClassLabel":
        found = [name for name in names if kinds.get(name) == "Value"]
    usual = [name for name in names if name in found]
    if len(found) > 1 and not usual:
        raise ValueError(
            f"{place} has several columns of type {feature} ({', '.join(found)}): keep one, as in "
            f"data.rename_column({found[0]!r}, {names[0]!r})"
        )
    return (usual or found or [None])[0]


def _labels(data: Any, column: str, place: str) -> list[str] | list[int] | None:
    """Return the name of each label, or numbers that have no names; None if all are missing."""
    labels = data.select_columns([column])[:][column]
    missing = sum(label in NO_LABELS for label in labels)
    if missing == len(labels) > 0:
        return None
    if missing:
        raise ValueError(
            f"{missing} of {len(labels)} labels of {place} are missing (-1 or None): leave their "
            f"rows out, as in data.filter(lambda label: label not in (-1, None), "
            f"input_columns={column!r})"
        )
    names = getattr(data.features[column], "names", None)
    return labels if names is None else [names[label] for label in labels]


def _library(what: str | Path) -> Any:
    try:
        return import_module("datasets")
    except ModuleNotFoundError as error:
        if error.name != "datasets":
            raise
        raise ModuleNotFoundError(
            f"{what} needs Hugging Face's datasets: pip install 'dacbn[hf]'", name="datasets"
        ) from error


def _no_download(name: str, reason: str) -> FileNotFoundError:
    return FileNotFoundError(
        f"cannot load {PREFIX}{name} ({reason}): where there is a network, run datasets."
        f"load_dataset({name!r}).save_to_disk('FOLDER'), copy FOLDER here and give it"
    )


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
