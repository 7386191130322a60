"""The affine map per channel that a normaliser is in evaluation, where it is one.

y = weight * (x - mean) / sqrt(var + eps) + bias, as BatchNorm's; eps is the layer's.
"""

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from dacbn.norms.mixture.arguments import Affine

ASSIGNED = {"channel": "each value", "position": "each position", "sample": "each sample"}


class ChannelMap(NamedTuple):
    """A map of channels, of float64 tensors (C,) without gradients."""

    mean: Tensor
    var: Tensor
    weight: Tensor
    bias: Tensor


class NoChannelMapError(ValueError):
    """A layer is no affine map per channel; the text says what it does, without a subject."""


def standardising(
    mean: Tensor, var: Tensor, affine: Affine, factor: Tensor | float = 1.0
) -> ChannelMap:
    """Return the map of a layer that standardises, multiplies, scales and shifts.

    Args:
        mean: (C,).
        var: (C,), without eps.
        affine: the layer's own map, which follows.
        factor: of the standardised values, before `affine`: a number or (C,).
    """
    mean, var = mean.detach().double(), var.detach().double()
    weight, bias = affine
    scale = torch.ones_like(var) if weight is None else weight.detach().double()
    shift = torch.zeros_like(var) if bias is None else bias.detach().double()
    return ChannelMap(mean, var, scale * factor, shift)


def scaling(affine: Affine, eps: float, num_features: int) -> ChannelMap:
    """Return the map of a layer of C channels that only scales and shifts."""
    device = None if affine.weight is None else affine.weight.device
    mean = torch.zeros(num_features, dtype=torch.float64, device=device)
    return standardising(mean, mean + 1, affine, (1 + eps) ** 0.5)


class HasComponents(Protocol):
    """The components of a mixture."""

    @property
    def mean(self) -> Tensor:
        """(K, C)."""

    @property
    def var(self) -> Tensor:
        """(K, C), without eps."""


def mixing(
    mixture: HasComponents, affine: Affine, assign: str, scale: Tensor | None = None
) -> ChannelMap:
    """Return the map of a layer that averages standardised values over components.

    The weights of the average sum to one, so that components which are equal act as one.

    Args:
        mixture: its components standardise.
        affine: the layer's own map, which follows.
        assign: what is assigned to components; see `dacbn.norms.mixture.moments.log_joint`.
        scale: of each component's term, (K, C) or (K, 1), or None.

    Raises:
        NoChannelMapError: the components differ.
    """
    mean, var = mixture.mean, mixture.var
    scale = torch.ones_like(mean) if scale is None else scale.detach()
    for table in (mean, var, scale):
        if not bool((table == table[:1]).all()):
            raise NoChannelMapError(f"assigns {ASSIGNED[assign]} to components that differ")
    return standardising(mean[0], var[0], affine, scale[0].double())
