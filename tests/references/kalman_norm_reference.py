"""Kalman normalisation written value by value from its equations, in float64."""

import math

import numpy as np
from scipy.integrate import quad


def gaussian_moments(function, mean, var):
    """Integrate a function and its square against a Gaussian; scalars."""
    std = math.sqrt(var)

    def density(z):
        return math.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)

    kink = [min(max(-mean / std, -12), 12)]
    centre = quad(lambda z: function(mean + std * z) * density(z), -12, 12, points=kink)[0]
    squares = quad(
        lambda z: (function(mean + std * z) - centre) ** 2 * density(z), -12, 12, points=kink
    )[0]
    return centre, squares


def relu_moments(mean, var):
    """Return the moments (C,) of max(x, 0)."""
    pairs = [gaussian_moments(lambda x: max(x, 0.0), m, v) for m, v in zip(mean, var, strict=True)]
    return np.array([m for m, _ in pairs]), np.array([v for _, v in pairs])


def conv_moments(weight, mean, var, groups=1):
    """Return the moments (O,) of a convolution's interior output, weight (O, I / groups, *)."""
    outputs, inputs = weight.shape[:2]
    kernels = weight.reshape(outputs, inputs, -1)
    out_mean, out_var = np.zeros(outputs), np.zeros(outputs)
    for o in range(outputs):
        first = o // (outputs // groups) * inputs
        for i, k in np.ndindex(*kernels.shape[1:]):
            out_mean[o] += kernels[o, i, k] * mean[first + i]
            out_var[o] += kernels[o, i, k] ** 2 * var[first + i]
    return out_mean, out_var


def batch_moments(x):
    """Return mean, biased variance (C,) and the number of values per channel of x (N, C, L)."""
    channels = [x[:, c].ravel() for c in range(x.shape[1])]
    mean = np.array([sum(values) / len(values) for values in channels])
    var = [
        sum((v - m) ** 2 for v in values) / len(values)
        for values, m in zip(channels, mean, strict=True)
    ]
    return mean, np.array(var), x.shape[0] * x.shape[2]


def posterior(prediction, x, gain):
    """Return mean and variance (C,) of the mixture of prediction and batch, and that to be kept.

    The batch's part of the last is unbiased.
    """
    mean, var, count = batch_moments(x)
    belief = np.zeros_like(mean), np.zeros_like(mean), np.zeros_like(mean)
    for c in range(len(mean)):
        m, v = prediction[0][c], prediction[1][c]
        belief[0][c] = (1 - gain) * m + gain * mean[c]
        # E[x²] - E[x]² of a mixture
        second = (1 - gain) * (v + m**2) + gain * (var[c] + mean[c] ** 2)
        belief[1][c] = second - belief[0][c] ** 2
        bessel = 1 if count == 1 else count / (count - 1)
        belief[2][c] = belief[1][c] + gain * var[c] * (bessel - 1)
    return belief


def normalised(x, mean, var, eps):
    """Return (x - mean) / sqrt(var + eps), x (N, C, L)."""
    y = np.zeros_like(x)
    for n, c, position in np.ndindex(*x.shape):
        y[n, c, position] = (x[n, c, position] - mean[c]) / math.sqrt(var[c] + eps)
    return y
