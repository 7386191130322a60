"""Batch normalisation by known clusters, written value by value from its equations, in float64."""

import math

import numpy as np


def values_of(x, ids, k, c):
    """Return all values of channel c in the samples of cluster k, for x (N, C, L)."""
    return [float(v) for n in range(len(x)) if ids[n] == k for v in x[n, c]]


def batch_moments(x, ids, k, c):
    """Return how many values there are, their mean and their biased variance."""
    values = values_of(x, ids, k, c)
    mean = sum(values) / len(values) if values else 0.0
    var = sum((v - mean) ** 2 for v in values) / len(values) if values else 0.0
    return len(values), mean, var


def moments_in_training(x, ids, running_mean, running_var):
    """Return means and variances (K, C): the batch's, or the running ones of less than two."""
    mean, var = running_mean.copy(), running_var.copy()
    for k, c in np.ndindex(*mean.shape):
        count, batch_mean, batch_var = batch_moments(x, ids, k, c)
        if count > 1:
            mean[k, c], var[k, c] = batch_mean, batch_var
    return mean, var


def moved(x, ids, running_mean, running_var, momentum):
    """Return the running means and variances (K, C) after a batch."""
    mean, var = running_mean.copy(), running_var.copy()
    for k, c in np.ndindex(*mean.shape):
        count, batch_mean, batch_var = batch_moments(x, ids, k, c)
        if count > 1:
            mean[k, c] = (1 - momentum) * mean[k, c] + momentum * batch_mean
            unbiased = batch_var * count / (count - 1)
            var[k, c] = (1 - momentum) * var[k, c] + momentum * unbiased
    return mean, var


def normalised(x, ids, mean, var, eps, prior=1.0):
    """Return (x - mean) / sqrt(prior (var + eps)) by each sample's cluster, for x (N, C, L)."""
    y = np.zeros(x.shape)
    for n, c, position in np.ndindex(*x.shape):
        k = ids[n]
        std = math.sqrt(var[k, c] + eps)
        y[n, c, position] = (x[n, c, position] - mean[k, c]) / std / math.sqrt(prior)
    return y
