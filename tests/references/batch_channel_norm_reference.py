"""Batch-channel normalisation written value by value from its equations, in float64."""

import math

import numpy as np


def moments(values):
    """Return the mean and the biased variance of a list of numbers."""
    mean = sum(values) / len(values)
    return mean, sum((value - mean) ** 2 for value in values) / len(values)


def batch_moments(x):
    """Return the mean and the biased variance of each channel of x (N, C, L)."""
    pairs = [moments(list(x[:, c].flatten())) for c in range(x.shape[1])]
    return np.array(pairs).T


def moved_estimates(x, mean, var, rate):
    """Move estimates towards a batch; its squares are about the mean as it was before."""
    new_mean, new_var = mean.copy(), var.copy()
    for c in range(x.shape[1]):
        values = list(x[:, c].flatten())
        squares = sum((value - mean[c]) ** 2 for value in values) / len(values)
        new_mean[c] = (1 - rate) * mean[c] + rate * sum(values) / len(values)
        new_var[c] = (1 - rate) * var[c] + rate * squares
    return new_mean, new_var


def normalised(x, mean, var, gain, shift, num_groups, eps):
    """Normalise x (N, C, L) by channel statistics, then each sample by groups of channels."""
    z, y, width = np.zeros(x.shape), np.zeros(x.shape), x.shape[1] // num_groups
    for n, c, position in np.ndindex(*x.shape):
        standard = (x[n, c, position] - mean[c]) / math.sqrt(var[c] + eps)
        z[n, c, position] = gain[c] * standard + shift[c]
    for n, group in np.ndindex(len(x), num_groups):
        members = slice(group * width, (group + 1) * width)
        centre, spread = moments(list(z[n, members].flatten()))
        y[n, members] = (z[n, members] - centre) / math.sqrt(spread + eps)
    return y
