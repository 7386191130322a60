"""The cells of a grid on a terminal: how many run, wait, are done or failed, and when all end."""

import shutil
from collections.abc import Mapping
from datetime import datetime, timedelta
from itertools import zip_longest
from types import TracebackType
from typing import NamedTuple, Self

from tqdm import tqdm

from dacbn.processes import leads
from dacbn.progress import duration

LISTED = 8  # running cells that have a line


class Counts(NamedTuple):
    """How many cells of a grid are in which state."""

    running: int
    waiting: int
    done: int
    failed: int

    def __str__(self) -> str:
        """Write them in a line."""
        return ", ".join(f"{count} {state}" for state, count in self._asdict().items())


class CellTable:
    """A table under a bar of progress, gone when it is closed; none where stderr is no terminal.

    Args:
        places: how many cells can run at once.
    """

    def __init__(self, places: int) -> None:
        self._lines = [
            tqdm(
                total=0,
                bar_format="{desc}",
                position=number,
                leave=False,
                disable=None if leads() else True,
            )
            for number in range(1, 3 + min(places, LISTED + 1))
        ]

    @property
    def is_shown(self) -> bool:
        """Whether there is a terminal."""
        return not self._lines[0].disable

    def show(self, counts: Counts, left: float | None, running: Mapping[str, float]) -> None:
        """Draw it anew.

        Args:
            counts: of the cells.
            left: seconds that the rest takes; None if nobody knows yet.
            running: seconds since the cells that run began, by name.
        """
        if not self.is_shown:
            return
        width = shutil.get_terminal_size().columns - 1
        wanted = table_lines(counts, left, running)
        for line, text in zip_longest(self._lines, wanted[: len(self._lines)], fillvalue=""):
            assert isinstance(line, tqdm)
            if line.desc != text[:width]:
                line.set_description_str(text[:width])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        for line in reversed(self._lines):
            line.close()


def table_lines(counts: Counts, left: float | None, running: Mapping[str, float]) -> list[str]:
    """Write the table in lines; see `CellTable.show`.

    Example:
        >>> for line in table_lines(Counts(1, 7, 3, 0), None, {"dann-seed0": 42}):
        ...     print(line)
        running  waiting  done  failed  left  ends at
              1        7     3       0     -        -
        dann-seed0, for 42 s
    """
    end = ("-", "-") if left is None else (duration(left), _clock(left))
    titles, row = (*Counts._fields, "left", "ends at"), (*map(str, counts), *end)
    widths = [max(map(len, pair)) for pair in zip(titles, row, strict=True)]
    table = [
        "  ".join(text.rjust(width) for text, width in zip(texts, widths, strict=True))
        for texts in (titles, row)
    ]
    listed = [f"{name}, for {duration(since)}" for name, since in running.items()]
    more = [f"and {len(listed) - LISTED} more"] if len(listed) > LISTED else []
    return [*table, *listed[:LISTED], *more]


def _clock(left: float) -> str:
    """Return the time of day in so many seconds, with the day if it is not today."""
    now = datetime.now()
    end = now + timedelta(seconds=left)
    return f"{end:%H:%M}" if end.date() == now.date() else f"{end:%a %H:%M}"
