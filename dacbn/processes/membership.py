"""Whether this process trains with others, and which of them it is."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dacbn.processes.launched import Launched

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup


@dataclass(frozen=True)
class Share:
    """The part of a process in a training on several.

    Args:
        rank: which process this is, from 0.
        count: processes W.
        group: all processes, for what is gathered.
        statistics: the processes whose batches normalisers see as one; usually all.
        signals: all processes, for numbers that are on the CPU.
    """

    rank: int
    count: int
    group: "ProcessGroup"
    statistics: "ProcessGroup"
    signals: "ProcessGroup"

    @property
    def members(self) -> list[int]:
        """The processes whose batches normalisers see as one with that of this process."""
        from torch.distributed import get_process_group_ranks

        return get_process_group_ranks(self.statistics)


_share: Share | None = None


def current() -> Share | None:
    """Return the share of this process; None if the training is on one."""
    return _share


@contextmanager
def sharing(share: Share | None) -> Iterator[None]:
    """Let batches be shared with other processes in a `with` block."""
    global _share
    before, _share = _share, share
    try:
        yield
    finally:
        _share = before


def rank() -> int:
    """Return which of several processes this is, from 0; also before they have joined."""
    share = current()
    if share is not None:
        return share.rank
    launched = Launched.read()
    return 0 if launched is None else launched.rank


def leads() -> bool:
    """Whether this process is the first, or the only one: the one that writes and prints."""
    return rank() == 0
