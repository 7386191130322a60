"""One training on several processes, each with its rows of every batch.

The rule that makes W processes equal one: rows go through the network where they belong, and what
comes out is gathered, so that every process computes the same losses of the whole batch.

- `by_rows` runs a function on the rows of this process and returns the outputs of all;
- inside of it, statistics of the batch are sums over processes: `total`, `merge_moments`;
- a gradient is that of this process's rows times W, because the mean over processes follows.

Without several processes all of them do nothing, so that layers and methods need not ask.
"""

from dacbn.processes.launch import (
    Agreement,
    Launched,
    LostProcessError,
    has_met,
    joined,
    leads,
    rank,
)
from dacbn.processes.leading import Elsewhere, lead, tell_all
from dacbn.processes.rows import (
    as_one_process,
    batch_rows,
    by_rows,
    gather_whole,
    row_ranges,
    whole_batch,
)
from dacbn.processes.share import Share, current, is_shared, own_rows, sharing, turns
from dacbn.processes.sums import merge_moments, total

__all__ = [
    "Agreement",
    "Elsewhere",
    "Launched",
    "LostProcessError",
    "Share",
    "as_one_process",
    "batch_rows",
    "by_rows",
    "current",
    "gather_whole",
    "has_met",
    "is_shared",
    "joined",
    "lead",
    "leads",
    "merge_moments",
    "own_rows",
    "rank",
    "row_ranges",
    "sharing",
    "tell_all",
    "total",
    "turns",
    "whole_batch",
]
