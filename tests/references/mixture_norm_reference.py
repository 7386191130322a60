"""Cluster-based normalisation written value by value from the equations, in float64.

Slow and obvious on purpose: one loop a sum, no broadcasting, nothing shared with the package.
"""

import math

import numpy as np


def log_gaussian(x, mean, var):
    return -0.5 * math.log(2 * math.pi * var) - (x - mean) ** 2 / (2 * var)


def softmax(values):
    highest = max(values)
    terms = [math.exp(value - highest) for value in values]
    return [term / sum(terms) for term in terms]


def joint_log_density(x, prior, mean, var, assign, n, c, position):
    """Return log p(k) + log p(what is assigned | k) for every component k, as a list."""
    _, channels, length = x.shape
    values = []
    for k in range(len(mean)):
        if assign == "channel":
            log_density = log_gaussian(x[n, c, position], mean[k, c], var[k, c])
            share = prior[k, c]
        else:
            positions = [position] if assign == "position" else range(length)
            log_density = 0.0
            for where in positions:
                for channel in range(channels):
                    log_density += log_gaussian(
                        x[n, channel, where], mean[k, channel], var[k, channel]
                    )
            log_density /= len(positions)
            share = prior[k, 0]
        values.append(math.log(share) + log_density)
    return values


def posterior(x, prior, mean, var, assign):
    """Return p(k | x), (K, N, C, L)."""
    result = np.zeros((len(mean), *x.shape))
    for n, c, position in np.ndindex(*x.shape):
        joint = joint_log_density(x, prior, mean, var, assign, n, c, position)
        result[:, n, c, position] = softmax(joint)
    return result


def negative_log_likelihood(x, prior, mean, var, assign):
    """Return the mean over what is assigned: values, positions or samples."""
    terms = []
    for n, c, position in np.ndindex(*x.shape):
        joint = joint_log_density(x, prior, mean, var, assign, n, c, position)
        terms.append(math.log(sum(math.exp(value) for value in joint)))
    return -sum(terms) / len(terms)


def moments(x, weights):
    """Return each component's share of each channel, weighted mean and biased variance, (K, C)."""
    clusters, (samples, channels, length) = len(weights), x.shape
    share, mean, var = (np.zeros((clusters, channels)) for _ in range(3))
    for k, c in np.ndindex(clusters, channels):
        total = first = second = 0.0
        for n, position in np.ndindex(samples, length):
            total += weights[k, n, c, position]
            first += weights[k, n, c, position] * x[n, c, position]
        for n, position in np.ndindex(samples, length):
            offset = x[n, c, position] - first / total
            second += weights[k, n, c, position] * offset**2
        share[k, c] = total / (samples * length)
        mean[k, c], var[k, c] = first / total, second / total
    return share, mean, var


def mixed(x, weights, prior, mean, var, eps, prior_scale):
    """Return sum_k w_k (x - m_k) / sqrt(v_k + eps), each term over sqrt(prior_k) if asked."""
    y = np.zeros(x.shape)
    for n, c, position in np.ndindex(*x.shape):
        for k in range(len(mean)):
            z = (x[n, c, position] - mean[k, c]) / math.sqrt(var[k, c] + eps)
            if prior_scale:
                z /= math.sqrt(prior[k, c if prior.shape[1] > 1 else 0])
            y[n, c, position] += weights[k, n, c, position] * z
    return y


def moved(state, share, mean, var, count, momentum):
    """Return the running (prior, mean, var) after a batch.

    Each is a moving average; a component's mean and variance move in proportion to the data it
    got, so that with all the data of a channel they move as BatchNorm's do.
    """
    prior = np.zeros_like(state[0])
    new_mean, new_var = np.zeros_like(state[1]), np.zeros_like(state[2])
    for k, c in np.ndindex(*mean.shape):
        own = c if prior.shape[1] > 1 else 0
        prior[k, own] = (1 - momentum) * state[0][k, own] + momentum * share[k, c]
        unbiased = var[k, c] * count / (count - 1)
        kept, added = (1 - momentum) * state[0][k, own], momentum * share[k, c]
        new_mean[k, c] = (kept * state[1][k, c] + added * mean[k, c]) / (kept + added)
        new_var[k, c] = (kept * state[2][k, c] + added * unbiased) / (kept + added)
    return prior, new_mean, new_var
