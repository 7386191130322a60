"""Analyse runs: `report(run)` makes a whole report, and each part of it is one function.

`compute_…` returns arrays, `plot_…` draws into axes, and `draw_…` saves figures with their arrays
and returns a `Section`. A new analysis is one file, with a decorator (see `analyses`), and one line
in `__init__.pyi`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
