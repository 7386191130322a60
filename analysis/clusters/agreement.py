"""How far two partitions of the same things agree, from their contingency table."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def nmi(table: Floats) -> Floats:
    """Compute normalised mutual information, by the mean of the two entropies.

    Zero where one of the two partitions has a single part.

    Args:
        table: counts or shares, (…, A, B).

    Returns:
        (…,), between 0 and 1.

    Example:
        >>> same, independent = np.diag([50.0, 50.0]), np.full((2, 2), 25.0)
        >>> float(nmi(same).round(6)), float(nmi(independent).round(6))
        (1.0, 0.0)
    """
    joint = table / table.sum((-2, -1), keepdims=True)
    rows, columns = entropy(joint.sum(-1)), entropy(joint.sum(-2))
    information = rows + columns - entropy(joint.reshape(*joint.shape[:-2], -1))
    mean = (rows + columns) / 2
    single = (rows < 1e-12) | (columns < 1e-12)
    return np.where(single, 0.0, np.clip(information / np.where(single, 1.0, mean), 0, 1))


def adjusted_rand(table: Floats) -> Floats:
    """Compute the adjusted Rand index: 1 for equal partitions, 0 on average for random ones.

    Args:
        table: counts, (…, A, B).

    Returns:
        (…,), 0 where both partitions have a single part.

    Example:
        >>> float(adjusted_rand(np.diag([50.0, 50.0])).round(6))
        1.0
    """
    together = _pairs(table).sum((-2, -1))
    rows, columns = _pairs(table.sum(-1)).sum(-1), _pairs(table.sum(-2)).sum(-1)
    expected = rows * columns / _pairs(table.sum((-2, -1)))
    room = (rows + columns) / 2 - expected
    settled = np.abs(room) < 1e-12
    return np.where(settled, 0.0, (together - expected) / np.where(settled, 1.0, room))


def entropy(shares: Floats) -> Floats:
    """Compute entropies in nats of distributions (…, K)."""
    logs = np.log(np.where(shares > 0, shares, 1.0))
    summed: Floats = -(shares * logs).sum(-1)
    return summed


def _pairs(counts: Floats) -> Floats:
    return counts * (counts - 1) / 2
