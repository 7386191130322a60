"""Densities, responsibilities and weighted moments of Gaussian mixtures.

Shapes: x is (N, C, L); the K components of a mixture have mean and variance (K, C), and
log prior (K, C), or (K, 1) where all channels share one assignment. Weights are (K, N, C, L),
with size 1 where they are shared, and sum to one over K.
"""

import math
from typing import Literal

import torch
from torch import Tensor

Assign = Literal["channel", "position", "sample"]

# Weight of a component's previous moments, so that without data it keeps them.
PSEUDO_COUNT = 1e-5


def per_component(statistic: Tensor) -> Tensor:
    """View a (K, C) statistic so that it broadcasts against (K, N, C, L)."""
    return statistic[:, None, :, None]


def log_joint(x: Tensor, log_prior: Tensor, mean: Tensor, var: Tensor, assign: Assign) -> Tensor:
    """Compute log p(k) + log p(x | k) under diagonal Gaussians.

    Args:
        x: (N, C, L).
        log_prior: (K, C) for assign="channel", else (K, 1).
        mean: (K, C).
        var: (K, C), positive.
        assign: what is assigned to components: each value separately ("channel", one mixture per
            channel), all channels of a position together ("position"), or a whole sample
            ("sample", which averages over positions, so that a sample counts like one position).

    Returns:
        (K, N, C, L), (K, N, 1, L) or (K, N, 1, 1), by `assign`.
    """
    standard = (x - per_component(mean)) * per_component(var.rsqrt())
    at_mean = -0.5 * (2 * math.pi * var).log()
    if assign == "channel":
        at_mean = per_component(at_mean + log_prior)
        return torch.addcmul(at_mean, standard, standard, value=-0.5)
    log_density = torch.addcmul(per_component(at_mean), standard, standard, value=-0.5)
    log_density = log_density.sum(2, keepdim=True)
    if assign == "sample":
        log_density = log_density.mean(3, keepdim=True)
    return log_density + per_component(log_prior)


def responsibilities(
    x: Tensor, log_prior: Tensor, mean: Tensor, var: Tensor, assign: Assign
) -> Tensor:
    """Compute the posterior p(k | x) in log space, so that it sums to one even for outliers."""
    return log_joint(x, log_prior, mean, var, assign).softmax(0)


def weighted_moments(
    x: Tensor, weights: Tensor, prior_mean: Tensor, prior_var: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute each component's share, mean and biased variance, pooled over batch and positions.

    The sums start from a vanishing mass of the previous moments, so that a component without data
    keeps them and nothing divides by zero.

    Args:
        x: (N, C, L).
        weights: (K, N, C, L), or 1 where shared.
        prior_mean: previous mean, (K, C).
        prior_var: previous variance, (K, C).

    Returns:
        share of the data (K, C) or (K, 1), mean (K, C), variance (K, C).
    """
    share = weights.mean((1, 3))
    count = share * (x.shape[0] * x.shape[2]) + PSEUDO_COUNT
    offset = x - per_component(prior_mean)
    mean = prior_mean + (weights * offset).sum((1, 3)) / count
    squares = (weights * (x - per_component(mean)).square()).sum((1, 3))
    return share, mean, (squares + PSEUDO_COUNT * prior_var) / count


def mix(x: Tensor, weights: Tensor, mean: Tensor, var: Tensor) -> Tensor:
    """Standardise x by every component and average the results: sum_k w_k (x - m_k) / sqrt(v_k)."""
    return (weights * (x - per_component(mean)) * per_component(var.rsqrt())).sum(0)


def evenly_inside_unit(num_clusters: int, like: Tensor) -> Tensor:
    """Return K evenly spaced points inside (0, 1), symmetric about one half: (k + 1/2) / K."""
    return (torch.arange(num_clusters, device=like.device, dtype=like.dtype) + 0.5) / num_clusters
