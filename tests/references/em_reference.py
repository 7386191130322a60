"""Expectation-maximisation and normalisation by what it finds, in float64 loops."""

import mixture_norm_reference as mixtures
import numpy as np


def narrowest(x):
    """Return a thousandth of each channel's variance."""
    values = [x[:, c].ravel() for c in range(x.shape[1])]
    return np.array(
        [1e-3 * sum((value - each.mean()) ** 2 for value in each) / each.size for each in values]
    )


def fitted(x, state, eps, steps):
    """Return (prior, mean, var) after some steps on positions of x, from the state given."""
    prior, mean, var = state
    for _ in range(steps):
        weights = mixtures.posterior(x, prior, mean, var + eps, "position")
        share, mean, var = mixtures.moments(x, weights)
        prior = share[:, :1]
    return prior, mean, var


def normalised(x, state, eps, prior_scale):
    """Return the output of evaluation."""
    prior, mean, var = state
    weights = mixtures.posterior(x, prior, mean, var + eps, "position")
    return mixtures.mixed(x, weights, prior, mean, var, eps, prior_scale)


def trained(x, state, eps, steps, momentum, prior_scale):
    """Return the output of training and the running state after it."""
    prior, mean, var = fitted(x, state, eps, steps)
    weights = mixtures.posterior(x, prior, mean, var + eps, "position")
    share, mean, var = mixtures.moments(x, weights)
    count = x.shape[0] * x.shape[2]
    after = mixtures.moved(state, share, mean, var, count, momentum)
    var = np.maximum(var, narrowest(x))
    return mixtures.mixed(x, weights, share[:, :1], mean, var, eps, prior_scale), after
