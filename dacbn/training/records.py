"""The numbers of a run: metrics.jsonl, one line per record, and TensorBoard on request."""

import json
from pathlib import Path
from types import TracebackType
from typing import Any, Self

METRICS = "metrics.jsonl"


class Records:
    """Append records to metrics.jsonl, each a step and some numbers.

    Args:
        folder: the run folder; None keeps records in memory only.
        resume_at: drop records of later steps, which a resumed run will make again.
        tensorboard: write TensorBoard events too.

    Raises:
        ImportError: TensorBoard is asked for and not installed.
    """

    def __init__(self, folder: Path | None, resume_at: int = 0, tensorboard: bool = False) -> None:
        self.rows: list[dict[str, Any]] = []
        self._path = folder / METRICS if folder else None
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            kept = read_records(self._path.parent) if resume_at and self._path.exists() else []
            self.rows = [row for row in kept if row["step"] <= resume_at]
            self._path.write_text("".join(json.dumps(row) + "\n" for row in self.rows))
        self._events = _open_tensorboard(folder, resume_at) if folder and tensorboard else None

    def add(self, step: int, numbers: dict[str, float]) -> None:
        """Record numbers of a step."""
        row = {"step": step, **numbers}
        self.rows.append(row)
        if self._path is not None:
            with self._path.open("a") as file:
                file.write(json.dumps(row) + "\n")
        if self._events is not None:
            for name, number in numbers.items():
                self._events.add_scalar(name, number, step)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if self._events is not None:
            self._events.close()


def read_records(folder: Path) -> list[dict[str, Any]]:
    """Read metrics.jsonl; a last line that a crash cut short is left out."""
    rows: list[dict[str, Any]] = []
    for line in (folder / METRICS).read_text().splitlines():
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
