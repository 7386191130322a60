"""Normalisers of single samples, and their mixtures with BatchNorm, value by value in float64."""

import math

import numpy as np


def moments(values):
    """Return the mean and the biased variance of a list of numbers."""
    mean = sum(values) / len(values)
    return mean, sum((value - mean) ** 2 for value in values) / len(values)


def over_groups(x, num_groups, eps):
    """Standardise x (N, C, L) over each group of neighbouring channels of a sample."""
    y, (samples, channels, length) = np.zeros(x.shape), x.shape
    size = channels // num_groups
    for n in range(samples):
        for g in range(num_groups):
            places = [(c, i) for c in range(g * size, (g + 1) * size) for i in range(length)]
            mean, var = moments([x[n, c, i] for c, i in places])
            for c, i in places:
                y[n, c, i] = (x[n, c, i] - mean) / math.sqrt(var + eps)
    return y


def over_channels(x, eps):
    """Standardise x (N, C, L) over the channels of each position."""
    y, (samples, channels, length) = np.zeros(x.shape), x.shape
    for n, i in np.ndindex(samples, length):
        mean, var = moments([x[n, c, i] for c in range(channels)])
        for c in range(channels):
            y[n, c, i] = (x[n, c, i] - mean) / math.sqrt(var + eps)
    return y


def batch_moments(x):
    """Return each channel's mean and biased variance over samples and positions."""
    found = [moments([float(v) for v in x[:, c].flatten()]) for c in range(x.shape[1])]
    return np.array(found).T


def by_statistics(x, mean, var, eps):
    """Standardise each channel of x (N, C, L) by given statistics (C,)."""
    y = np.zeros(x.shape)
    for n, c, i in np.ndindex(*x.shape):
        y[n, c, i] = (x[n, c, i] - mean[c]) / math.sqrt(var[c] + eps)
    return y


def switched(x, mean_logits, var_logits, batch_mean, batch_var, eps):
    """Standardise by the softmax-mixed moments of instance, layer and batch."""
    y, (samples, channels, length) = np.zeros(x.shape), x.shape
    p, q = (np.exp(logits) / np.exp(logits).sum() for logits in (mean_logits, var_logits))
    for n in range(samples):
        layer = moments([float(v) for v in x[n].flatten()])
        for c in range(channels):
            instance = moments([float(v) for v in x[n, c]])
            mean = p[0] * instance[0] + p[1] * layer[0] + p[2] * batch_mean[c]
            var = q[0] * instance[1] + q[1] * layer[1] + q[2] * batch_var[c]
            for i in range(length):
                y[n, c, i] = (x[n, c, i] - mean) / math.sqrt(var + eps)
    return y


def followed(batches, momentum):
    """Return the running mean and unbiased variance of each channel after batches (N, C, L)."""
    mean, var = np.zeros(batches[0].shape[1]), np.ones(batches[0].shape[1])
    for x in batches:
        count = x.shape[0] * x.shape[2]
        new_mean, new_var = batch_moments(x)
        mean = (1 - momentum) * mean + momentum * new_mean
        var = (1 - momentum) * var + momentum * new_var * count / (count - 1)
    return mean, var
