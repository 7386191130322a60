"""Agreement of two clusterings, from their contingency table (NMI, ARI), and entropy."""

import numpy as np

from dacbn.analysis.observe.outputs import Floats


def nmi(table: Floats) -> Floats:
    """Compute the mutual information divided by the mean of the two entropies.

    It is zero where one of the two clusterings has a single cluster.

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
    """Compute the adjusted Rand index: 1 for equal clusterings, 0 on average for random ones.

    Args:
        table: counts, (…, A, B).

    Returns:
        (…,); 0 where both clusterings have a single cluster.

    Example:
        >>> float(adjusted_rand(np.diag([50.0, 50.0])).round(6))
        1.0
    """
    together = _pairs(table).sum((-2, -1))
    rows, columns = _pairs(table.sum(-1)).sum(-1), _pairs(table.sum(-2)).sum(-1)
    expected = rows * columns / _pairs(table.sum((-2, -1)))
    largest = (rows + columns) / 2 - expected
    single = np.abs(largest) < 1e-12
    return np.where(single, 0.0, (together - expected) / np.where(single, 1.0, largest))


def entropy(shares: Floats) -> Floats:
    """Compute entropies in nats of distributions (…, K)."""
    logs = np.log(np.where(shares > 0, shares, 1.0))
    summed: Floats = -(shares * logs).sum(-1)
    return summed


def _pairs(counts: Floats) -> Floats:
    return counts * (counts - 1) / 2
