"""Recipes: complete settings of published results, and small versions that a CPU finishes.

Each docstring lists the command, the time, the published accuracy, and the differences.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
