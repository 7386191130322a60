"""The folder of a benchmark of streams: what it is of, and the errors that are there already."""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

from dacbn.benchmarks.stream_cell import Cell, Row
from dacbn.progress import LOGGER
from dacbn.spelling import spell
from dacbn.training import StorageError, write_text

CELLS, SETTINGS = "cells.jsonl", "settings.json"
DRAWN = "by seed and part"  # how images are drawn; all seeds shared theirs once
WEIGHTS = "sha256"  # of the run; older folders do not hold it
NEEDED = {field.name for field in dataclasses.fields(Cell)} | {
    *("error", "last_tenth", "parts", "curve")
}


def claim(folder: Path, run: Path, settings: dict[str, Any]) -> None:
    """Write what a benchmark is of into the folder, or compare it with what is there.

    Args:
        folder: of the benchmark.
        run: the run folder; relative and absolute paths are the same, and other weights are not.
        settings: of the streams.

    Raises:
        ValueError: the folder is of something else, or does not say of what.
        StorageError: it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(folder, error) from error
    with open(run / "model.safetensors", "rb") as file:
        weights = hashlib.file_digest(file, "sha256").hexdigest()
    given = _resolved({"run": str(run), **settings, "drawn": DRAWN, WEIGHTS: weights})
    path = folder / SETTINGS
    if not (path.exists() and (folder / CELLS).exists()):  # or of one that ended at a mistake
        write_text(path, json.dumps(given, indent=2) + "\n")
        return
    held = _resolved(_read_settings(path))
    other = [name for name in {**given, **held} if held.get(name) != given.get(name)]
    another = f"choose another {spell('output')}"
    if "drawn" in other:
        raise ValueError(
            f"{folder} holds a benchmark of an older version, in which seeds shared their images: "
            f"{another}"
        )
    if other == [WEIGHTS] and WEIGHTS not in held:
        LOGGER.warning(
            f"{folder} is of an older version, which did not note the weights: its errors are "
            f"taken for those of {run} as it is now; if that was trained again, {another}"
        )
    elif other == [WEIGHTS]:
        raise ValueError(
            f"{folder} holds a benchmark of other weights of {run}, which was trained again since: "
            f"{another}"
        )
    elif other:
        names = ", ".join(name for name in other if name != WEIGHTS)
        raise ValueError(
            f"{folder} holds a benchmark of another run, or of other streams (other: {names}): "
            f"{another}"
        )


def read_rows(path: Path) -> dict[str, Row]:
    """Read the rows that are done by `key`; leave out lines that are damaged, also in the file."""
    rows = {}
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    for line in text.splitlines():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(row, dict) and row.keys() >= NEEDED:
            rows[key(row)] = row
    if path.exists():
        write_text(path, "".join(f"{json.dumps(row)}\n" for row in rows.values()))
    return rows


def key(row: Row) -> str:
    """Return what a row is told apart by: the fields of its cell."""
    return json.dumps([row[field.name] for field in dataclasses.fields(Cell)])


def _read_settings(path: Path) -> dict[str, Any]:
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        settings = None
    if not isinstance(settings, dict) or not {"run", "target"} <= settings.keys():
        raise ValueError(
            f"{path} is damaged, so that it does not say what the errors beside it are of: "
            f"choose another {spell('output')}, or delete the file if they are of this command"
        )
    return settings


def _resolved(settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings as JSON holds them, with paths that do not depend on where they are read."""
    from dacbn.datasets import datasets

    settings = json.loads(json.dumps(settings))
    targets = [
        place if place in datasets or not Path(place).exists() else str(Path(place).resolve())
        for place in settings["target"]
    ]
    return settings | {"run": str(Path(settings["run"]).resolve()), "target": targets}
