"""Cluster assignments of activations, for every layer that finds clusters.

In a mixture per channel, cluster 1 of one channel has nothing to do with cluster 1 of another.
There the components of each channel are sorted by their means, so that the first is the lowest.
"""

from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from dacbn.norms import Mixture
from dacbn.norms.mixture.moments import Assign

MAX_CHANNELS = 32  # of a mixture per channel, whose assignments are kept image by image
CHUNK = 2**23  # values of responsibilities computed at a time: 32 MiB


@runtime_checkable
class FindsClusters(Protocol):
    """A layer that can report clusters, as `dacbn.norms.Norm` describes."""

    def mixture(self) -> Mixture | None:
        """Return the clusters, or None if this layer finds none."""

    def assignments(self, x: Tensor) -> Tensor:
        """Compute responsibilities (K, N, C or 1, L or 1) of activations x (N, C, L)."""


class Assigned(NamedTuple):
    """Assignments of the positions of images, by image.

    A group is a set of channels that share one mixture: a single channel, or all of them.

    Attributes:
        soft: mean responsibilities over positions, float32 (N, groups, K).
        hard: share of positions at which a cluster has the largest responsibility, float32
            (N, groups, K).
        entropy: mean entropy of the responsibilities in nats, float32 (N, groups).
    """

    soft: Tensor
    hard: Tensor
    entropy: Tensor


def mixture_of(layer: nn.Module) -> Mixture | None:
    """Read the mixture of a layer, on the CPU, with sorted components; None if it has none."""
    found = layer.mixture() if isinstance(layer, FindsClusters) else None
    if found is None:
        return None
    prior, mean, var = (values.cpu() for values in found[:3])
    order = _order(mean, found.assign)
    prior = prior.take_along_dim(order[:, : prior.shape[1]], 0)
    mean, var = (values.take_along_dim(order, 0) for values in (mean, var))
    return Mixture(prior, mean, var, found.assign)


def assign_images(layer: FindsClusters, x: Tensor, channels: Tensor) -> Assigned:
    """Assign activations to the clusters of a layer.

    Args:
        layer: in evaluation mode. If its assignments depend on the whole network, this must be
            called during its forward pass.
        x: (N, C, L).
        channels: those to keep of a mixture per channel.
    """
    mixture = layer.mixture()
    assert mixture is not None
    # a layer that assigns samples needs only their means, and may have assigned them already
    per_image = len(mixture.mean) * x[0].numel()
    at_once = len(x) if mixture.assign == "sample" else max(1, CHUNK // per_image)
    parts = [_summarise(layer.assignments(chunk)) for chunk in torch.split(x, at_once)]
    soft, hard, entropy = (torch.cat(part) for part in zip(*parts, strict=True))
    if mixture.assign == "channel":
        order = _order(mixture.mean, "channel").T[None, channels]
        soft = soft[:, channels].take_along_dim(order, 2)
        hard = hard[:, channels].take_along_dim(order, 2)
        entropy = entropy[:, channels]
    return Assigned(soft, hard, entropy)


def choose_channels(count: int, at_most: int) -> Tensor:
    """Choose channels, evenly spaced: int64 (min(count, at_most),)."""
    return torch.linspace(0, count - 1, min(count, at_most)).round().long()


def _summarise(weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Average responsibilities (K, N, groups, L) over positions, as `Assigned` holds them."""
    best = weights.argmax(0)
    hard = [(best == cluster).float().mean(2) for cluster in range(len(weights))]
    entropy = torch.special.entr(weights).sum(0).mean(2)
    return weights.mean(3).movedim(0, 2), torch.stack(hard, 2), entropy


def _order(mean: Tensor, assign: Assign) -> Tensor:
    """Return an order (K, C) of components: by their means in each channel, or unchanged."""
    if assign == "channel":
        return mean.argsort(0)
    return torch.arange(len(mean), device=mean.device)[:, None].expand_as(mean)
