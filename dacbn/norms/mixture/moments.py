"""Densities, responsibilities and weighted moments of Gaussian mixtures.

Shapes: x is (N, C, L); the K components of a mixture have mean and variance (K, C), and
log prior (K, C), or (K, 1) where all channels share one assignment. Weights are (K, N, C, L),
with size 1 where they are shared, and sum to one over K.
"""

import math
from typing import Literal

import torch
from torch import Tensor

from dacbn.norms.mixture.arguments import DRAG, MEAN, SHARE, VAR
from dacbn.processes import batch_rows, is_shared, total

Assign = Literal["channel", "position", "sample"]

# Weight of a component's previous moments, so that without data it keeps them.
PSEUDO_COUNT = 1e-5
# The same where only a part of the data is summed up: it counts as nothing beside the other.
VANISHING_COUNT = 1e-30


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
    keeps them and nothing divides by zero. A batch that processes share is pooled over all of them.

    Args:
        x: (N, C, L).
        weights: (K, N, C, L), or 1 where shared.
        prior_mean: previous mean, (K, C).
        prior_var: previous variance, (K, C).

    Returns:
        share of the data (K, C) or (K, 1), mean (K, C), variance (K, C).
    """
    if is_shared():
        wide, centre = to_float64(weights), per_component(to_float64(prior_mean))
        offset = to_float64(x) - centre
        mass = wide.sum((1, 3)) * (x.shape[2] if weights.shape[3] == 1 else 1)
        first, second = (wide * offset).sum((1, 3)), (wide * offset.square()).sum((1, 3))
        mass, offset, var = pool(mass, first, second, torch.zeros_like(prior_mean), prior_var)
        return shares(mass).to(x.dtype), prior_mean + offset.to(x.dtype), var.to(x.dtype)
    return own_moments(x, weights, prior_mean, prior_var, PSEUDO_COUNT)


def own_moments(
    x: Tensor, weights: Tensor, prior_mean: Tensor, prior_var: Tensor, pseudo_count: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute `weighted_moments` of what this process has, with a weight of the previous moments.

    Two passes, so that squares do not cancel.
    """
    share = weights.mean((1, 3))
    count = share * (x.shape[0] * x.shape[2]) + pseudo_count
    offset = x - per_component(prior_mean)
    mean = prior_mean + (weights * offset).sum((1, 3)) / count
    squares = (weights * (x - per_component(mean)).square()).sum((1, 3))
    return share, mean, (squares + pseudo_count * prior_var) / count


@torch.no_grad()
def moments_before(x: Tensor, weights: Tensor, table: Tensor) -> tuple[Tensor, Tensor]:
    """Find the previous mean and variance from which `weighted_moments` found those of a table.

    What was read then may have moved since, as running moments do.

    Args:
        x: (N, C, L).
        weights: (K, N, C, L), or 1 where shared.
        table: (TABLE_ROWS, K, C), of a batch.

    Returns:
        mean and variance, (K, C) each.
    """
    share, mean, var, drag = table[[SHARE, MEAN, VAR, DRAG]]
    dilution = share * (batch_rows(x) * x.shape[2]) / PSEUDO_COUNT + 1  # of what was before
    before = mean + 0.5 * dilution * drag
    _, _, own = weighted_moments(x, weights, before, torch.zeros_like(var))
    return before, dilution * (var - own)


def pool(
    mass: Tensor, first: Tensor, second: Tensor, prior: Tensor, prior_var: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute moments from sums, those of all processes that share the batch, in one exchange.

    Offsets are from a centre that all processes have in common.

    Args:
        mass: sum of each component's weights, (K, C) or (K, 1), in float64 like the next two.
        first: weighted sum of the offsets, (K, C).
        second: weighted sum of their squares, (K, C).
        prior: offset of the previous mean, (K, C).
        prior_var: previous variance, (K, C).

    Returns:
        mass, offset of the mean, and biased variance, in float64.
    """
    mass, first, second = total(mass, first, second)
    count = mass + PSEUDO_COUNT
    offset = (first + PSEUDO_COUNT * prior) / count
    squares = second - (2 * first - mass * offset) * offset
    return mass, offset, ((squares + PSEUDO_COUNT * prior_var) / count).clamp_min(0)


def shares(mass: Tensor) -> Tensor:
    """Return each component's share of the data: weights sum to one over K."""
    return mass / mass.sum(0, keepdim=True)


def to_float64(table: Tensor) -> Tensor:
    """Copy a table to float64, where sums of squares do not cancel and autocast has no effect.

    A float64 table is copied too, because running moments may change before the backward pass.
    """
    dtype = table.dtype if table.device.type == "mps" else torch.float64  # MPS has no float64
    return table.to(dtype, copy=True)


def mix(x: Tensor, weights: Tensor, mean: Tensor, var: Tensor) -> Tensor:
    """Standardise x by every component and average the results: sum_k w_k (x - m_k) / sqrt(v_k)."""
    return (weights * (x - per_component(mean)) * per_component(var.rsqrt())).sum(0)


def evenly_inside_unit(num_clusters: int, like: Tensor) -> Tensor:
    """Return K evenly spaced points inside (0, 1), symmetric about one half: (k + 1/2) / K."""
    return (torch.arange(num_clusters, device=like.device, dtype=like.dtype) + 0.5) / num_clusters
