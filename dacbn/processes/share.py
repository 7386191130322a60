"""Which rows of each batch a process has."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import accumulate
from typing import NamedTuple

import torch

from dacbn.processes.membership import current


class Rows(NamedTuple):
    """The rows of every process in a batch of one or several parts.

    Attributes:
        sizes: rows of each part.
        bounds: for each process, the first row of each part that it has, and the one after.
    """

    sizes: tuple[int, ...]
    bounds: tuple[tuple[tuple[int, int], ...], ...]

    def counts(self) -> list[int]:
        """Return how many rows each process has."""
        return [sum(stop - start for start, stop in parts) for parts in self.bounds]


_rows: Rows | None = None
_rows_going_back: Rows | None = None


def is_shared() -> bool:
    """Whether the batch that runs now is one process's rows of a larger one."""
    return shared_rows() is not None


def shared_rows() -> Rows | None:
    """Return the rows of all processes in the batch that runs now; None if it is whole.

    A layer that a backward pass recomputes runs on the rows whose gradients go back.
    """
    if _rows is None and _rows_going_back is not None and not torch.compiler.is_compiling():
        return _rows_going_back if torch._C._current_graph_task_id() != -1 else None
    return _rows


def going_back(rows: Rows | None) -> None:
    """Note the rows whose gradients go back; None at the end of a backward pass."""
    global _rows_going_back
    _rows_going_back = rows


@contextmanager
def running(rows: Rows | None) -> Iterator[None]:
    """Run a batch that is one process's rows of a larger one, or a whole one, in a `with` block."""
    global _rows
    before, _rows = _rows, rows
    try:
        yield
    finally:
        _rows = before


def own_rows(count: int) -> tuple[int, int]:
    """Return the first row of this process in a part of `count` rows, and the one after the last.

    One process has all of them.
    """
    share = current()
    if share is None:
        return 0, count
    ((bounds,),) = share_out((count,), share.count).bounds[share.rank : share.rank + 1]
    return bounds


def turns() -> slice:
    """Return which of many equal pieces of work, in their order, are those of this process."""
    share = current()
    return slice(None) if share is None else slice(share.rank, None, share.count)


@cache
def share_out(sizes: Sequence[int], count: int) -> Rows:
    """Share the rows of parts out to `count` processes, as evenly as can be.

    Example:
        >>> share_out((5, 2), 2).bounds
        (((0, 2), (5, 6)), ((2, 5), (6, 7)))
    """
    starts = [0, *accumulate(sizes)]
    return Rows(
        tuple(sizes),
        tuple(
            tuple(
                (start + size * rank // count, start + size * (rank + 1) // count)
                for start, size in zip(starts, sizes, strict=False)
            )
            for rank in range(count)
        ),
    )
