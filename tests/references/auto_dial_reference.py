"""AutoDIAL's mixtures of domains: by moments, and from the published form over the values."""

import numpy as np


def mixed_moments(mean, var, alpha):
    """Return the mixtures' means and variances (K, C) from those of the domains."""
    domains, channels = mean.shape
    mixed_mean, mixed_var = np.zeros(mean.shape), np.zeros(mean.shape)
    for k, c in np.ndindex(domains, channels):
        shares = [alpha if j == k else (1 - alpha) / (domains - 1) for j in range(domains)]
        mixed_mean[k, c] = sum(shares[j] * mean[j, c] for j in range(domains))
        # var = E[x^2] - E[x]^2, unlike the layer's sum of offsets
        second = sum(shares[j] * (var[j, c] + mean[j, c] ** 2) for j in range(domains))
        mixed_var[k, c] = second - mixed_mean[k, c] ** 2
    return mixed_mean, mixed_var


def published_moments(source, target, alpha):
    """Return the source's mean and variance from the values of one channel of two domains."""
    mean = alpha * np.mean(source) + (1 - alpha) * np.mean(target)
    spread = [np.mean((values - mean) ** 2) for values in (source, target)]
    return mean, alpha * spread[0] + (1 - alpha) * spread[1]
