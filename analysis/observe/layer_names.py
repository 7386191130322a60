"""Choose and shorten the names of layers, for figures and tables."""

from collections.abc import Sequence

import numpy as np


def evenly_spaced(names: Sequence[str], at_most: int) -> list[str]:
    """Choose names at even distances, the first and the last among them."""
    positions = np.linspace(0, len(names) - 1, min(at_most, len(names))).round().astype(int)
    return [names[position] for position in positions]


def short_names(layers: Sequence[str]) -> list[str]:
    """Drop the common prefix of all names, but keep at least two parts of each."""
    parts = [name.split(".") for name in layers]
    shared = max(min(map(len, parts), default=0) - 2, 0)
    while len({tuple(part[:shared]) for part in parts}) > 1:
        shared -= 1
    return [".".join(part[shared:]) for part in parts]
