"""Metrics of a run: metrics.jsonl, one record per line, and optionally TensorBoard."""

import json
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from dacbn.training.run_info import RunFolderError
from dacbn.training.storage import StorageError, first_line, write_atomically

METRICS = "metrics.jsonl"


class Records:
    """Append records to metrics.jsonl, each a step with metrics by name.

    Args:
        folder: the run folder; None keeps records in memory only.
        resume_at: drop records of later steps, because the resumed run records them again.
        tensorboard: also write TensorBoard events.

    Raises:
        ImportError: TensorBoard is requested and not installed.
        StorageError: the folder cannot be written.
    """

    def __init__(self, folder: Path | None, resume_at: int = 0, tensorboard: bool = False) -> None:
        self.rows: list[dict[str, Any]] = []
        self._path = folder / METRICS if folder else None
        if self._path is not None:
            kept = read_records(self._path.parent) if resume_at and self._path.exists() else []
            self.rows = [row for row in kept if row["step"] <= resume_at]
            text = "".join(json.dumps(row) + "\n" for row in self.rows)
            write_atomically(self._path, lambda draft: draft.write_text(text))
        self._events = _open_tensorboard(folder, resume_at) if folder and tensorboard else None

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
            for name, number in numbers.items():
                self._events.add_scalar(name, number, step)

    def _append(self, path: Path, line: str) -> None:
        try:
            with path.open("a") as file:
                file.write(line)
        except OSError as error:
            raise StorageError(path, error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if self._events is not None:
            self._events.close()


def has_records(folder: Path) -> bool:
    """Whether a folder has records; that of a network saved without training has none."""
    return (folder / METRICS).exists()


def read_records(folder: Path) -> list[dict[str, Any]]:
    """Read metrics.jsonl, without a last line that a crash cut off.

    Raises:
        RunFolderError: there is no such file.
    """
    try:
        lines = (folder / METRICS).read_text().splitlines()
    except OSError as error:
        raise RunFolderError(
            f"cannot read {folder / METRICS} ({first_line(error)}): name a folder that dacbn train "
            "made"
        ) from None
    rows: list[dict[str, Any]] = []
    for line in lines:
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows


def _open_tensorboard(folder: Path, resume_at: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ImportError(
            'TensorBoard is not installed: pip install "dacbn[tensorboard]", or train without it'
        ) from error
    return SummaryWriter(str(folder), purge_step=resume_at + 1)
