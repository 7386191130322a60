"""Which clusters activations belong to, asked of any layer that assigns them.

A mixture per channel has no cluster 1 that all channels share: its components are put in order of
their means, so that in every channel the first is the lowest.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from dacbn.norms import MixtureNorm, ModeNorm, UCBNorm
from dacbn.norms.mixture.moments import Assign

CHANNELS = 32  # of a mixture per channel, at most, whose assignments are kept image by image
CHUNK = 2**23  # values of responsibilities computed at a time: 32 MiB


class Mixture(NamedTuple):
    """The components of a layer, by which it assigns or (where a gate assigns) normalises.

    Args:
        prior: float64 (K, C), or (K, 1) where all channels are assigned together.
        mean: float64 (K, C).
        var: float64 (K, C), with the layer's eps.
        assign: what is assigned; see `dacbn.norms.mixture.moments.log_joint`.
    """

    prior: Tensor
    mean: Tensor
    var: Tensor
    assign: Assign

    def take(self, channels: Tensor) -> "Mixture":
        """Return the mixture of some channels."""
        prior = self.prior[:, channels] if self.assign == "channel" else self.prior
        return Mixture(prior, self.mean[:, channels], self.var[:, channels], self.assign)


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
    """Read the mixture of a layer, components of a channel in order; None if it has none."""
    if isinstance(layer, UCBNorm):
        held, assign = layer.gate, layer.assign
    elif isinstance(layer, (MixtureNorm, ModeNorm)):
        held, assign = layer.running, layer.running.assign
    else:
        return None
    prior = held.log_prior.detach().double().cpu().exp()
    mean = held.mean.detach().double().cpu()
    var = held.var.detach().double().cpu() + layer.eps
    order = _order(mean, assign)
    prior = prior.take_along_dim(order[:, : prior.shape[1]], 0)
    return Mixture(prior, mean.take_along_dim(order, 0), var.take_along_dim(order, 0), assign)


def assign_images(layer: nn.Module, x: Tensor, channels: Tensor) -> Assigned:
    """Assign activations as a layer that has a mixture does.

    Args:
        layer: in evaluation mode; one with a gate for a whole network, inside its forward pass.
        x: (N, C, L).
        channels: those to keep of a mixture per channel.
    """
    mixture = mixture_of(layer)
    assert mixture is not None
    per_image = len(mixture.mean) * x[0].numel()
    if isinstance(layer, ModeNorm):
        parts = [_summarise(layer.assignments(x.mean(2)).T[:, :, None, None])]
    else:
        chunks = torch.split(x, max(1, CHUNK // per_image))
        parts = [_summarise(_responsibilities(layer, chunk)) for chunk in chunks]
    soft, hard, doubt = (torch.cat(part) for part in zip(*parts, strict=True))
    if mixture.assign == "channel":
        assert isinstance(layer, UCBNorm)  # the only one that assigns values one by one
        order = _order(layer.gate.mean.detach(), "channel").T[None, channels]
        soft = soft[:, channels].take_along_dim(order, 2)
        hard = hard[:, channels].take_along_dim(order, 2)
        doubt = doubt[:, channels]
    return Assigned(soft, hard, doubt)


def some_channels(count: int, at_most: int) -> Tensor:
    """Choose channels, evenly spaced: int64 (min(count, at_most),)."""
    return torch.linspace(0, count - 1, min(count, at_most)).round().long()


def _responsibilities(layer: nn.Module, x: Tensor) -> Tensor:
    if isinstance(layer, MixtureNorm):
        held = layer.running
        return layer.posterior(x, held.prior, held.mean, held.var)
    assert isinstance(layer, UCBNorm)
    return layer.responsibilities(x)


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
