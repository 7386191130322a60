"""One training on several processes, each with its rows of every batch.

The rule that makes W processes equal one: rows go through the network where they belong, and what
comes out is gathered, so that every process computes the same losses of the whole batch.

- `by_rows` runs a function on the rows of this process and returns the outputs of all;
- inside of it, statistics of the batch are sums over processes: `total`, `merge_moments`;
- a gradient is that of this process's rows times W, because the mean over processes follows.

Without several processes all of them do nothing, so that layers and methods need not ask.
"""

from dacbn.processes.rows import (
    as_one_process,
    batch_rows,
    by_rows,
    gather_whole,
    row_ranges,
    whole_batch,
)
from dacbn.processes.share import Share, current, is_shared, own_rows, sharing
from dacbn.processes.sums import merge_moments, total

__all__ = [
    "Share",
    "as_one_process",
    "batch_rows",
    "by_rows",
    "current",
    "gather_whole",
    "is_shared",
    "merge_moments",
    "own_rows",
    "row_ranges",
    "sharing",
    "total",
    "whole_batch",
]
