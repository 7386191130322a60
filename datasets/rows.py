"""Images that a table or file of arrays names in rows, and which of them are trained on."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dacbn.datasets.columns import spell_columns
from dacbn.datasets.labels import number_labels
from dacbn.datasets.layout import PART_OF, split, unseen

WORDS = {**PART_OF, "id_val": "val", "id_test": "test"}  # WILDS' of domains that are trained on
NUMBERS = {"0": "train", "1": "val", "2": "test"}  # those of WILDS and CelebA
HELD_OUT = ("test", "val")  # the first that there is, is tested


class Rows(NamedTuple):
    """N images.

    Attributes:
        place: the table, for messages.
        top: the folder or file that the paths are relative to.
        files: the N files.
        labels: their labels, if there are any.
        parts: "train", "val" or "test" for each, if that is known.
        domains: the name of the domain of each, if that is known.
    """

    place: str
    top: Path
    files: list[Path]
    labels: list[Any] | None = None
    parts: list[str] | None = None
    domains: list[str] | None = None


def list_rows(rows: Rows, train: bool) -> list[Path]:
    """List the files of the training or test part; all of them where there are no parts."""
    part = _part(rows, train)
    if part is None or rows.parts is None:
        return rows.files
    return [file for file, each in zip(rows.files, rows.parts, strict=True) if each == part]


def list_rows_by_class(
    rows: Rows, train: bool, seed: int, seen: Collection[str] | None
) -> dict[str, list[Path]]:
    """List the files of the training or test part, by class.

    Rows without parts, or with a single one, are split as a folder is.

    Args:
        rows: rows with labels.
        train: whether to list the training part; otherwise the test part.
        seed: seed of the split of rows without parts.
        seen: real paths of the files that were trained on, if they are known.

    Raises:
        ValueError: the test part has a class that the training part lacks.
    """
    if rows.labels is None:
        raise ValueError(f"{rows.place} lists no labels")
    positions, classes = number_labels(rows.labels)
    names = [classes[position] for position in positions.tolist()]
    if (part := _part(rows, train)) is None or rows.parts is None:
        by_class = _group(rows.files, names)
        return {name: split(by_class[name], train, rows.top, seed, seen) for name in classes}
    parts: dict[str, list[int]] = defaultdict(list)
    for row, each in enumerate(rows.parts):
        parts[each].append(row)
    known = {names[row] for row in parts["train"]}
    if unknown := sorted({names[row] for row in parts[part]} - known):
        raise ValueError(
            f"{rows.place} has classes in its part {part} that its part train lacks: {unknown}"
        )
    by_class = _group([rows.files[row] for row in parts[part]], [names[row] for row in parts[part]])
    if seen is not None and not train:
        by_class = {name: unseen(files, seen) for name, files in by_class.items()}
    return {name: by_class.get(name, []) for name in classes if name in known}


def read_parts(place: str, column: str, values: Sequence[str]) -> list[str]:
    """Return the part that each value of a column means: "train", "val" or "test".

    Raises:
        ValueError: a value means none, or numbers are not the three of WILDS.
    """
    words = [value.casefold() for value in values]
    numbered = set(words) == NUMBERS.keys() and column.casefold() != "fold"
    meanings = NUMBERS if numbered else WORDS
    if unclear := sorted(set(words) - meanings.keys()):
        shown = ", ".join(map(repr, unclear[:5]))
        raise ValueError(
            f"cannot tell what {shown} in column {column!r} of {place} mean: write train, val or "
            f"test (0, 1 and 2 mean them where all three occur), or pass {spell_columns('split=')}"
        )
    return [meanings[word] for word in words]


def _part(rows: Rows, train: bool) -> str | None:
    """Return the part to read; None if not both are there: one to train on and one to test."""
    parts = set(rows.parts or ())
    tested = next((part for part in HELD_OUT if part in parts), None)
    if tested is None or "train" not in parts:
        return None
    return "train" if train else tested


def _group(files: Sequence[Path], names: Sequence[str]) -> dict[str, list[Path]]:
    by_class: dict[str, list[Path]] = defaultdict(list)
    for file, name in zip(files, names, strict=True):
        by_class[name].append(file)
    return by_class
