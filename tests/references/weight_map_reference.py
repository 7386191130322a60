"""Maps of weights written filter by filter from their equations, in float64."""

import math

import numpy as np


def standardised(weight, eps):
    """Return filters (out, ...) less their mean, over the root of their biased variance + eps."""
    found = np.zeros(weight.shape)
    for i, values in enumerate(weight):
        flat = list(values.flatten())
        mean = sum(flat) / len(flat)
        var = sum((value - mean) ** 2 for value in flat) / len(flat)
        found[i] = (values - mean) / math.sqrt(var + eps)
    return found


def lengths(weight):
    """Return the length of each filter (out, ...)."""
    return [math.sqrt(sum(value**2 for value in values.flatten())) for values in weight]


def bounded(weight, length):
    """Return filters (out, ...) scaled to one length."""
    return np.array(
        [values * length / own for values, own in zip(weight, lengths(weight), strict=True)]
    )
