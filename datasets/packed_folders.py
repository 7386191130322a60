"""Tell what path or name stands for images in larger files, and list these."""

from collections.abc import Mapping
from pathlib import Path

from dacbn.datasets import hugging_face, shards
from dacbn.datasets.hugging_face import HubDataset
from dacbn.datasets.parts import Rows, whole_part


def is_packed(path: str | Path) -> bool:
    """Return whether this is the name or folder of a dataset of Hugging Face, or names shards."""
    return hugging_face.is_named(path) or hugging_face.is_saved(path) or shards.is_shards(path)


def find_packed(path: str | Path) -> Mapping[str, Rows] | None:
    """Return the images and labels of every part of what `is_packed` takes; None of others.

    Raises:
        FileNotFoundError: a shard or a dataset is missing.
        ModuleNotFoundError: the library that reads it is not installed.
        ValueError: it cannot be used; the text gives the reason.
    """
    if hugging_face.is_named(path):
        return hugging_face.list_rows(hugging_face.load_named(path), str(path))
    if hugging_face.is_saved(path):
        return hugging_face.list_rows(hugging_face.load_saved(path), str(path))
    return {"": shards.list_shards(path)} if shards.is_shards(path) else None


def rows_of(data: HubDataset, train: bool) -> Rows:
    """Return the training or test part of a dataset of Hugging Face; all of one without parts.

    Raises:
        ValueError: it cannot be used; the text gives the reason.
    """
    return whole_part(hugging_face.list_rows(data), "dataset", train)
