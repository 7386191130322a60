"""Distances between two samples, written pair by pair from the equations, in float64."""

import math

import numpy as np


def _rows(x):
    return np.asarray(x.detach(), dtype=np.float64)


def softmax(logits):
    """Return the softmax of each row."""
    exponentials = np.exp(_rows(logits) - _rows(logits).max(1, keepdims=True))
    return exponentials / exponentials.sum(1, keepdims=True)


def coral(source, target):
    """Return the squared Frobenius distance of numpy's covariances, over 4 d^2."""
    difference = np.cov(_rows(source).T) - np.cov(_rows(target).T)
    return (difference**2).sum() / (4 * source.shape[1] ** 2)


def _squared(a, b):
    return sum((p - q) ** 2 for p, q in zip(a, b, strict=True))


def _width(rows):
    distances = [_squared(a, b) for i, a in enumerate(rows) for j, b in enumerate(rows) if i != j]
    return sum(distances) / len(distances)


def _kernel(a, b, width):
    distance = _squared(a, b)
    return sum(math.exp(-distance / (2.0**k * width)) for k in range(-2, 3)) / 5


def joint_mmd(*layers):
    """Return the U-statistic of the squared discrepancy under a product of kernels.

    Args:
        layers: of each layer, the rows of the source and those of the target, as arrays.
    """
    widths = [_width([*source, *target]) for source, target in layers]

    def kernel(i, j, first, second):
        product = 1.0
        for layer, width in zip(layers, widths, strict=True):
            product *= _kernel(layer[first][i], layer[second][j], width)
        return product

    sizes = [len(layers[0][domain]) for domain in (0, 1)]
    within = 0.0
    for domain, n in enumerate(sizes):
        pairs = [(i, j) for i in range(n) for j in range(n) if i != j]
        within += sum(kernel(i, j, domain, domain) for i, j in pairs) / len(pairs)
    between = [kernel(i, j, 0, 1) for i in range(sizes[0]) for j in range(sizes[1])]
    return within - 2 * sum(between) / len(between)


def mmd(source, target):
    """Return the U-statistic of the squared discrepancy of two samples."""
    return joint_mmd((_rows(source), _rows(target)))


def features_with_predictions(source, target):
    """Return the joint discrepancy of features and softmax of two outputs."""
    return joint_mmd(
        (_rows(source.features), _rows(target.features)),
        (softmax(source.logits), softmax(target.logits)),
    )


def central_moments(source, target, order):
    """Return the discrepancy of the moments of tanh, which lies in [-1, 1]."""
    source, target = np.tanh(_rows(source)), np.tanh(_rows(target))
    total = math.sqrt(_squared(source.mean(0), target.mean(0))) / 2
    for k in range(2, order + 1):
        moments = [((x - x.mean(0)) ** k).mean(0) for x in (source, target)]
        total += math.sqrt(_squared(*moments)) / 2**k
    return total


def spectral(features, count):
    """Return the largest eigenvalues of the features' Gram matrix, summed, per row."""
    rows = _rows(features)
    return np.sort(np.linalg.eigvalsh(rows @ rows.T))[::-1][:count].sum() / len(rows)


def moment_distance(sources, targets, order):
    """Return the distance of raw moments: means over source-target pairs, and pairs of sources."""

    def distance(a, b, k):
        moments = [[sum(v**k for v in column) / len(column) for column in x.T] for x in (a, b)]
        return math.sqrt(_squared(*moments))

    sources, targets = [_rows(x) for x in sources], [_rows(x) for x in targets]
    count, total = len(sources), 0.0
    for k in range(1, order + 1):
        for source in sources:
            for target in targets:
                total += distance(source, target, k) / (count * len(targets))
        for i in range(count):
            for j in range(i):
                total += distance(sources[i], sources[j], k) / (count * (count - 1) / 2)
    return total
