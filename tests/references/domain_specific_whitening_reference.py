"""Whitening of known domains within groups of channels, domain by domain, in float64."""

import numpy as np


def groups(channels, group_size):
    """Return slices of the channels; the last may be shorter."""
    return [slice(at, min(at + group_size, channels)) for at in range(0, channels, group_size)]


def rows_of(x, ids, k):
    """Return the positions of domain k as rows: (n L, C) for x (N, C, L)."""
    channels = x.shape[1]
    return np.moveaxis(x[np.asarray(ids) == k], 1, 2).reshape(-1, channels)


def covariance(rows, correction):
    """Return the covariance matrix of rows, by its definition."""
    offset = rows - rows.mean(0)
    return sum(np.outer(row, row) for row in offset) / (len(rows) - correction)


def whitened(x, ids, means, covariances, group_size, shrinkage, eps):
    """Return F^-1 (x - mean) for x (N, C, L), means (K, C) and full covariances (K, C, C)."""
    y = np.zeros(x.shape)
    for n, part in [(n, part) for n in range(len(x)) for part in groups(x.shape[1], group_size)]:
        block = covariances[ids[n]][part, part]
        shrunk = (1 - shrinkage) * block + (shrinkage + eps) * np.eye(len(block))
        offset = x[n, part] - means[ids[n]][part, None]
        y[n, part] = np.linalg.solve(np.linalg.cholesky(shrunk), offset)
    return y
