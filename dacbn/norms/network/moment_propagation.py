"""How a layer changes the mean and variance of each channel, in closed form.

A channel's activations are assumed to be Gaussian, and independent of other channels and of
neighbouring pixels. Both are approximations: neighbouring pixels are correlated, so that their
averages vary more than computed here, and padding reduces values at the border of small maps.

Moments are a pair of tensors (C,): means and variances; None where unknown.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.modules.pooling import _MaxPoolNd

from dacbn.norms.contract import Norm

Moments = tuple[Tensor, Tensor]

SMALLEST_VAR = 1e-8
# Where the integral over a standard normal is truncated, and the number of points of its sum.
REACH, POINTS = 6.0, 97

# Layers that keep the moments; for maxima this is an approximation. In a traced network a
# Sequential is a layer only if it is empty. timm's DropPath is recognised by its name.
KEEPING = (nn.Identity, nn.Flatten, nn.Sequential, _DropoutNd, _MaxPoolNd)
ELEMENTWISE = (
    *(nn.CELU, nn.ELU, nn.GELU, nn.Hardsigmoid, nn.Hardswish, nn.Hardtanh, nn.LeakyReLU),
    *(nn.LogSigmoid, nn.Mish, nn.SELU, nn.Sigmoid, nn.SiLU, nn.Softplus, nn.Softsign, nn.Tanh),
)
# Recognises linear layers and convolutions by their forward, which some subclasses override.
AFFINE_FORWARDS = (nn.Linear.forward, nn.Conv1d.forward, nn.Conv2d.forward, nn.Conv3d.forward)


def relu_moments(mean: Tensor, var: Tensor) -> Moments:
    """Compute the moments of max(x, 0) for Gaussian x.

    In units of x's standard deviation, with a its mean, the mean is e = a Phi(a) + phi(a), and the
    variance Phi(a) + e (a - e), in which nothing large cancels.
    """
    var = var.clamp_min(SMALLEST_VAR)
    std = var.sqrt()
    ratio = mean / std
    above = torch.special.ndtr(ratio)
    density = (-0.5 * ratio.square()).exp() / math.sqrt(2 * math.pi)
    centre = ratio * above + density
    return std * centre, var * (above + centre * (ratio - centre)).clamp_min(0)


def elementwise_moments(function: Callable[[Tensor], Tensor], mean: Tensor, var: Tensor) -> Moments:
    """Compute the moments of function(x) for Gaussian x, by the trapezoidal rule.

    With Gaussian weights this rule is as accurate as Gauss-Hermite quadrature for smooth functions,
    and more accurate for functions with kinks.
    """
    grid = torch.linspace(-REACH, REACH, POINTS, device=mean.device, dtype=mean.dtype)[:, None]
    weights = (-0.5 * grid.square()).softmax(0)
    values = function(mean + var.clamp_min(SMALLEST_VAR).sqrt() * grid)
    centre = (weights * values).sum(0)
    return centre, (weights * (values - centre).square()).sum(0)


def affine_moments(layer: _ConvNd | nn.Linear, mean: Tensor, var: Tensor) -> Moments | None:
    """Compute the moments of W x + b, ignoring the padding of convolutions."""
    groups = int(getattr(layer, "groups", 1))
    weight = layer.weight.to(mean.dtype).flatten(1)
    moments = stretch((mean, var), weight.shape[1] * groups)  # of a patch
    if moments is None:
        return None
    weight = weight.reshape(groups, -1, weight.shape[1])
    mean, var = (patch.reshape(groups, -1, 1) for patch in moments)
    mean, var = (weight @ mean).flatten(), (weight.square() @ var).flatten()
    return mean if layer.bias is None else mean + layer.bias.to(mean.dtype), var


def stretch(moments: Moments, size: int) -> Moments | None:
    """Repeat moments to (size,) for a flattened map or patch: each channel is a run of values.

    None if `size` is not a multiple of the number of channels.
    """
    mean, var = moments
    if len(mean) == size:
        return moments
    if size % len(mean):
        return None
    repeats = size // len(mean)
    return mean.repeat_interleave(repeats), var.repeat_interleave(repeats)


def normalised_moments(layer: nn.Module, like: Tensor) -> Moments | None:
    """Return the moments of a BatchNorm's output, its bias and squared weight; None for others."""
    plain = type(layer) in (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
    if not plain and not (isinstance(layer, Norm) and layer.standardises_channels):
        return None  # timm's subclasses apply an activation too
    assert isinstance(layer, (Norm, _BatchNorm))
    if layer.weight is None or layer.bias is None:
        return like.new_zeros(layer.num_features), like.new_ones(layer.num_features)
    return layer.bias.to(like.dtype), layer.weight.to(like.dtype).square()


def layer_moments(layer: nn.Module, moments: Moments) -> Moments | None:
    """Compute the moments of a layer's output from those of its input."""
    if isinstance(layer, KEEPING) or type(layer).__name__ == "DropPath":
        return moments
    if isinstance(layer, nn.ReLU):
        return relu_moments(*moments)
    if isinstance(layer, ELEMENTWISE):
        return elementwise_moments(layer.forward, *moments)
    if type(layer).forward in AFFINE_FORWARDS:
        return affine_moments(layer, *moments)  # type: ignore[arg-type]
    if isinstance(layer, (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)):
        return moments[0], moments[1] / _pixels(layer)
    return None


def added(inputs: list[Moments]) -> Moments | None:
    """Compute the moments of the sum of two independent maps; None if their channels differ."""
    (mean, var), (other_mean, other_var) = inputs
    if mean.shape != other_mean.shape:
        return None
    return mean + other_mean, var + other_var


def concatenated(inputs: list[Moments]) -> Moments:
    """Concatenate the moments of maps along the channels."""
    return torch.cat([mean for mean, _ in inputs]), torch.cat([var for _, var in inputs])


def _pixels(layer: nn.AvgPool1d | nn.AvgPool2d | nn.AvgPool3d) -> int:
    if isinstance(layer.kernel_size, tuple):
        return math.prod(layer.kernel_size)
    return int(layer.kernel_size ** (3 if isinstance(layer, nn.AvgPool3d) else 2))
