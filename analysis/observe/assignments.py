"""Which clusters activations belong to, asked of any layer that assigns them.

A mixture per channel has no cluster 1 that all channels share: its components are put in order of
their means, so that in every channel the first is the lowest.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from dacbn.norms import Mixture, Norm
from dacbn.norms.mixture.moments import Assign

CHANNELS = 32  # of a mixture per channel, at most, whose assignments are kept image by image
CHUNK = 2**23  # values of responsibilities computed at a time: 32 MiB


class Assigned(NamedTuple):
    """How the positions of images are assigned, by image.

    A group is what has a mixture of its own: a channel, or all channels together.

    Args:
        soft: mean responsibilities over positions, float32 (N, groups, K).
        hard: share of positions whose largest responsibility it is, float32 (N, groups, K).
        doubt: mean entropy of the responsibilities in nats, float32 (N, groups).
    """

    soft: Tensor
    hard: Tensor
    doubt: Tensor


def mixture_of(layer: nn.Module) -> Mixture | None:
    """Read the mixture of a layer, on the CPU, components of a channel in order; None without."""
    found = layer.mixture() if isinstance(layer, Norm) else None
    if found is None:
        return None
    prior, mean, var = (values.cpu() for values in found[:3])
    order = _order(mean, found.assign)
    prior = prior.take_along_dim(order[:, : prior.shape[1]], 0)
    mean, var = (values.take_along_dim(order, 0) for values in (mean, var))
    return Mixture(prior, mean, var, found.assign)


def assign_images(layer: Norm, x: Tensor, channels: Tensor) -> Assigned:
    """Assign activations as a layer that finds clusters does.

    Args:
        layer: in evaluation mode; one with a gate for a whole network, inside its forward pass.
        x: (N, C, L).
        channels: those to keep of a mixture per channel.
    """
    mixture = layer.mixture()
    assert mixture is not None
    # a layer that assigns samples needs only their means, and may have assigned them already
    per_image = len(mixture.mean) * x[0].numel()
    at_once = len(x) if mixture.assign == "sample" else max(1, CHUNK // per_image)
    parts = [_summarise(layer.assignments(chunk)) for chunk in torch.split(x, at_once)]
    soft, hard, doubt = (torch.cat(part) for part in zip(*parts, strict=True))
    if mixture.assign == "channel":
        order = _order(mixture.mean, "channel").T[None, channels]
        soft = soft[:, channels].take_along_dim(order, 2)
        hard = hard[:, channels].take_along_dim(order, 2)
        doubt = doubt[:, channels]
    return Assigned(soft, hard, doubt)


def some_channels(count: int, at_most: int) -> Tensor:
    """Choose channels, evenly spaced: int64 (min(count, at_most),)."""
    return torch.linspace(0, count - 1, min(count, at_most)).round().long()


def _summarise(weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Average responsibilities (K, N, groups, L) over positions, as `Assigned` holds them."""
    best = weights.argmax(0)
    hard = [(best == cluster).float().mean(2) for cluster in range(len(weights))]
    doubt = torch.special.entr(weights).sum(0).mean(2)
    return weights.mean(3).movedim(0, 2), torch.stack(hard, 2), doubt


def _order(mean: Tensor, assign: Assign) -> Tensor:
    """Order components (K, C): by their means in each channel, or as they are."""
    if assign == "channel":
        return mean.argsort(0)
    return torch.arange(len(mean), device=mean.device)[:, None].expand_as(mean)
