"""Batch normalisation by a p-norm of the largest deviations, value by value in float64."""

import math

import numpy as np
from scipy import integrate, stats


def power_mean(values, p):
    """Return (mean |v|^p)^(1/p), the largest |v| for p = inf."""
    if p == math.inf:
        return max(abs(value) for value in values)
    return (sum(abs(value) ** p for value in values) / len(values)) ** (1 / p)


def gaussian_moment(p):
    """Return (E |z|^p)^(1/p) of a standard Gaussian z, by quadrature."""
    half, _ = integrate.quad(lambda z: z**p * stats.norm.pdf(z), 0, math.inf)
    return (2 * half) ** (1 / p)


def published_constant(num_values):
    """Return the factor that the paper puts before the largest of n deviations."""
    return 0.5 * (1 + math.sqrt(math.pi * math.log(4))) / math.sqrt(2 * math.log(num_values))


def expected_top_mean(num_values, top):
    """Return the expected mean of the largest |z| of n draws, exactly: E min(top, count) summed."""
    thresholds = np.linspace(0, 9, 9001)
    exceeds = 2 * stats.norm.sf(thresholds)
    missing = sum(
        (top - count) * stats.binom.pmf(count, num_values, exceeds) for count in range(top)
    )
    return integrate.trapezoid((top - missing) / top, thresholds)


def statistics(x, p, top=None):
    """Return each channel's mean and estimated standard deviation, for x (N, C, L).

    L-infinity and the largest deviations have the published constant.
    """
    means, scales = np.zeros(x.shape[1]), np.zeros(x.shape[1])
    for c in range(x.shape[1]):
        values = [x[n, c, position] for n, position in np.ndindex(x.shape[0], x.shape[2])]
        means[c] = sum(values) / len(values)
        farthest = sorted((abs(value - means[c]) for value in values), reverse=True)[:top]
        simple = top is None and p < math.inf
        constant = 1 / gaussian_moment(p) if simple else published_constant(len(values))
        scales[c] = constant * power_mean(farthest, p)
    return means, scales


def normalised(x, means, scales, eps):
    """Return (x - mean) / sqrt(scale^2 + eps) for x (N, C, L)."""
    y = np.zeros(x.shape)
    for n, c, position in np.ndindex(*x.shape):
        y[n, c, position] = (x[n, c, position] - means[c]) / math.sqrt(scales[c] ** 2 + eps)
    return y
