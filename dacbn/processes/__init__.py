"""One training on several processes, each with its rows of every batch.

The rule that makes W processes equal one: rows go through the network where they belong, and what
comes out is gathered, so that every process computes the same losses of the whole batch.

- `by_rows` runs a function on the rows of this process and returns the outputs of all;
- inside of it, statistics of the batch are sums over processes: `total`, `merge_moments`;
- a gradient is that of this process's rows times W, because the mean over processes follows.

Without several processes all of them do nothing, so that layers and methods need not ask.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
