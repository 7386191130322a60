"""TransNorm's raising of channels, written out from its equation for two or more domains."""

import math
from itertools import combinations

import numpy as np


def raising(mean, var, eps):
    """Return 1 + a_c for the domains' means and variances (K, C)."""
    domains, channels = mean.shape
    nearness = []
    for c in range(channels):
        place = [mean[k, c] / math.sqrt(var[k, c] + eps) for k in range(domains)]
        distances = [abs(one - other) for one, other in combinations(place, 2)]
        nearness.append(1 / (1 + (sum(distances) / len(distances) if distances else 0.0)))
    return np.array([1 + channels * near / sum(nearness) for near in nearness])
