"""Metrics of a run: metrics.jsonl, one record per line, and optionally TensorBoard."""

import json
import os
import warnings
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, Self

from dacbn.limits import AT_LEAST_0, check_values, misfit, show
from dacbn.models import Network
from dacbn.training.run_info import RunFolderError, read_run_info
from dacbn.training.storage import StorageError, first_line, write_atomically
from dacbn.training.tensorboard import AnyBatch, Events

METRICS = "metrics.jsonl"


class Records:
    """Append records to metrics.jsonl, each a step with metrics by name.

    When a training is resumed, a file with damaged lines is kept as metrics.jsonl.damaged.

    Args:
        folder: the run folder; None keeps records in memory only.
        resume_at: drop records of later steps, because the resumed run records them again.
        tensorboard: also write TensorBoard events.
        first: what TensorBoard shows in place of the first batch, if that has features for images.

    Raises:
        ImportError: TensorBoard is requested and not installed.
        StorageError: the folder cannot be written.
    """

    def __init__(
        self,
        folder: Path | None,
        resume_at: int = 0,
        tensorboard: bool = False,
        first: AnyBatch | None = None,
    ) -> None:
        self.rows: list[dict[str, Any]] = []
        self._path = folder / METRICS if folder else None
        if self._path is not None:
            kept = _take_over(self._path) if resume_at else []
            self.rows = [row for row in kept if row["step"] <= resume_at]
            text = "".join(json.dumps(row) + "\n" for row in self.rows)
            write_atomically(self._path, lambda draft: draft.write_text(text))
        self._events = Events(folder, resume_at, first) if folder and tensorboard else None

    def add(self, step: int, numbers: dict[str, float]) -> None:
        """Record metrics of a step.

        Raises:
            StorageError: the disk is full or the folder was removed.
        """
        row = {"step": step, **numbers}
        self.rows.append(row)
        if self._path is not None:
            self._append(self._path, json.dumps(row) + "\n")
        if self._events is not None:
            self._events.add(step, numbers)

    def watch(self, batches: Iterable[AnyBatch], network: Network) -> Iterable[AnyBatch]:
        """Return the batches of a training of a network, the first of which TensorBoard shows."""
        return batches if self._events is None else self._events.watch(batches, network)

    def _append(self, path: Path, line: str) -> None:
        try:
            with path.open("a") as file:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise StorageError(path, error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if self._events is not None:
            if kind is None and self._path is not None:
                info = read_run_info(self._path.parent)
                self._events.finish(info.classes, info.config.to_json())
            self._events.close()


def has_records(folder: Path) -> bool:
    """Whether a folder has records; that of a network saved without training has none."""
    return (folder / METRICS).exists()


def read_records(folder: Path) -> list[dict[str, Any]]:
    """Read metrics.jsonl.

    Damaged lines are left out with a warning; a last one that was cut off, without.

    Raises:
        RunFolderError: there is no such file.
    """
    path = folder / METRICS
    try:
        rows, damaged = _read(path)
    except OSError as error:
        raise RunFolderError(
            f"cannot read {path} ({first_line(error)}): name a folder that dacbn train made"
        ) from None
    if damaged:
        _warn(f"{_name_lines(path, damaged)}: left out")
    return rows


def _take_over(path: Path) -> list[dict[str, Any]]:
    """Read the records of a training that is resumed; a damaged file is kept aside."""
    aside = path.with_name(f"{path.name}.damaged")
    try:
        rows, damaged = _read(path)
    except FileNotFoundError:
        _warn(f"{path} is missing: records begin where the training goes on")
        return []
    except OSError as error:
        path.replace(aside)
        _warn(f"cannot read {path} ({first_line(error)}): it is kept as {aside}")
        return []
    if damaged:
        path.replace(aside)
        _warn(f"{_name_lines(path, damaged)}: left out, and the file is kept as {aside}")
    return rows


def _read(path: Path) -> tuple[list[dict[str, Any]], dict[int, str]]:
    """Read records, and the reasons why lines are none, by their numbers from 1."""
    lines = path.read_bytes().split(b"\n")
    rows, damaged = [], {}
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
            _check_record(row)
            rows.append(row)
        except (ValueError, RecursionError) as error:
            if number < len(lines):  # after the last line break stands nothing, or a line cut off
                damaged[number] = getattr(error, "msg", None) or first_line(error)
    return rows, damaged


def _check_record(row: object) -> None:
    """Raise ValueError if a line holds anything but a step and numbers."""
    if not isinstance(row, dict):
        raise ValueError(f"a record must be a dictionary, got {show(row)}")
    check_values("", {"step": Annotated[int, AT_LEAST_0]}, {"step": row.get("step")})
    for name, value in row.items():  # a loss may be NaN, infinite, or too small for float32
        if type(value) not in (int, float) or (isinstance(value, int) and misfit(int, value)):
            raise ValueError(f"{name} must be a number, got {show(value)}")


def _name_lines(path: Path, reasons: dict[int, str]) -> str:
    numbers = list(reasons)
    named = ", ".join(map(str, numbers[:5])) + (", …" if len(numbers) > 5 else "")
    return f"{path} is damaged in line {named} ({reasons[numbers[0]]})"


def _warn(text: str) -> None:
    warnings.warn(text, stacklevel=4)
