"""Normalisation by modes to which a linear gate assigns samples, in float64 loops."""

import mixture_norm_reference as mixtures
import numpy as np


def assigned(x, weight, bias):
    """Return the degree to which each sample belongs to each mode, (N, K)."""
    samples, channels, length = x.shape
    degrees = np.zeros((samples, len(bias)))
    for n in range(samples):
        pooled = [sum(x[n, c]) / length for c in range(channels)]
        logits = [
            bias[k] + sum(weight[k, c] * pooled[c] for c in range(channels))
            for k in range(len(bias))
        ]
        degrees[n] = mixtures.softmax(logits)
    return degrees


def by_batch(x, degrees, state, eps, momentum):
    """Return the output of training and the running (prior, mean, var) after it."""
    weights = spread_out(degrees, x)
    share, mean, var = mixtures.moments(x, weights)
    count = x.shape[0] * x.shape[2]
    after = mixtures.moved(state, share, mean, var, count, momentum)
    return mixtures.mixed(x, weights, share, mean, var, eps, prior_scale=False), after


def by_running(x, degrees, state, eps):
    """Return the output of evaluation."""
    prior, mean, var = state
    return mixtures.mixed(x, spread_out(degrees, x), prior, mean, var, eps, prior_scale=False)


def spread_out(degrees, x):
    """Give every value of a sample the sample's degrees, (K, N, C, L)."""
    weights = np.zeros((degrees.shape[1], *x.shape))
    for n, k in np.ndindex(*degrees.shape):
        weights[k, n] = degrees[n, k]
    return weights
