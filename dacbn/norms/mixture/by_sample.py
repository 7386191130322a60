"""Mixtures that assign whole samples: what they need of the activations is two numbers a channel.

The mean and variance of each sample's channels, (N, C) each, decide to which components it belongs
and what the moments of the components are; the output is then a line through each channel of each
sample. No tensor is as large as K copies of the activations, and the activations are read twice.

Shapes: x is (N, C, L); weights of K components are (K, N) and sum to one over K.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from dacbn.norms.mixture.moments import PSEUDO_COUNT

VALUES = 1 << 20  # multiplied at a time


def sample_moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the mean and biased variance of each sample's channels, (N, C) each.

    Differentiable once.
    """
    if x.shape[2] == 1 or x.numel() == 0:
        mean = x.sum(2)
        return mean, torch.zeros_like(mean)
    if torch.compiler.is_compiling():  # which fuses this with what is around
        var, mean = torch.var_mean(x, 2, correction=0)
        return mean, var
    mean, var = _SampleMoments.apply(x)
    return mean, var


def sample_log_joint(
    mean: Tensor, var: Tensor, log_prior: Tensor, gate_mean: Tensor, gate_var: Tensor
) -> Tensor:
    """Compute log p(k) + log p(x | k) of samples, averaged over their positions.

    Args:
        mean: of each sample's channels, (N, C).
        var: of each sample's channels, biased, (N, C).
        log_prior: (K, 1).
        gate_mean: of the components, (K, C).
        gate_var: of the components, (K, C), positive.

    Returns:
        (K, N), as `moments.log_joint` computes from all positions.
    """
    centre = gate_mean[0].detach()
    offset, of_gate = widen(mean - centre), widen(gate_mean - centre)
    precision = widen(gate_var).reciprocal()
    exponent = (
        precision @ torch.addcmul(widen(var), offset, offset).T
        - 2 * (of_gate * precision) @ offset.T
        + (of_gate.square() * precision).sum(1, keepdim=True)
    )
    at_mean = (2 * torch.pi * gate_var).log().sum(1, keepdim=True)
    return (log_prior - 0.5 * (exponent + at_mean)).to(mean.dtype)


def pool_samples(
    mean: Tensor, var: Tensor, length: int, weights: Tensor, prior_mean: Tensor, prior_var: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute each component's share, mean and biased variance from those of the samples.

    Args:
        mean: of each sample's channels, (N, C).
        var: of each sample's channels, biased, (N, C).
        length: positions L of a sample.
        weights: (K, N).
        prior_mean: what a component without samples keeps, (K, C).
        prior_var: the same, (K, C).

    Returns:
        share of the data (K, 1), mean (K, C), variance (K, C), as `moments.weighted_moments`.
    """
    centre = mean[0].detach()
    offset, mass = widen(mean - centre), length * widen(weights)
    count = mass.sum(1, keepdim=True)
    total = count + PSEUDO_COUNT
    first, second = mass @ offset, mass @ torch.addcmul(widen(var), offset, offset)
    pooled = (first + PSEUDO_COUNT * (prior_mean - centre)) / total
    squares = second - (2 * first - count * pooled) * pooled
    spread = (squares + PSEUDO_COUNT * prior_var) / total
    share = weights.mean(1, keepdim=True)
    return share, centre + pooled.to(mean.dtype), spread.clamp_min(0).to(mean.dtype)


def mix_samples(
    x: Tensor,
    weights: Tensor,
    mean: Tensor,
    var: Tensor,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
) -> Tensor:
    """Standardise x by every component and average by sample: sum_k w_k (x - m_k) / sqrt(v_k).

    Args:
        x: (N, C, L).
        weights: of the components, (K, N), which need not sum to one.
        mean: of the components, (K, C).
        var: of the components, (K, C), positive.
        weight: multiplies each channel of the result, (C,).
        bias: is added to it, (C,).
    """
    slopes = widen(var.rsqrt() if weight is None else var.rsqrt() * weight)
    by_sample = widen(weights).T
    slope = (by_sample @ slopes).to(x.dtype)
    shift = (by_sample @ (slopes * widen(mean))).to(x.dtype).neg()
    if bias is not None:
        shift = shift + bias
    if x.numel() == 0 or torch.compiler.is_compiling():
        return torch.addcmul(shift[..., None], x, slope[..., None])
    y: Tensor = _Line.apply(x, slope, shift)
    return y


def widen(small: Tensor) -> Tensor:
    """Copy a table to float64, where sums of squares do not cancel and autocast does not reach.

    It is a copy even of float64: running moments may change before a backward pass wants them.
    """
    wide = small.dtype if small.device.type == "mps" else torch.float64  # which has none
    return small.to(wide, copy=True)


class _SampleMoments(torch.autograd.Function):
    """Mean and variance, several times as fast as `torch.var_mean`.

    Where positions are close together, the kernel of GroupNorm has what it takes.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        samples, channels, length = x.shape
        if x.stride(1) == 1 < channels:  # channels are
            mean = x.mean(2)
            var = (x - mean[..., None]).square_().mean(2)
        else:
            rows = samples * channels
            _, mean, inverse = torch.native_group_norm(
                x.reshape(1, rows, length), None, None, 1, rows, length, rows, 0.0
            )
            mean = mean.view(samples, channels)
            var = inverse.view(samples, channels).reciprocal().square()
        ctx.save_for_backward(x, mean)
        return mean, var

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_mean: Tensor, of_var: Tensor) -> Tensor:
        x, mean = ctx.saved_tensors
        length = x.shape[2]
        slope = of_var * (2 / length)
        shift = of_mean / length - slope * mean
        return torch.addcmul(shift[..., None], x, slope[..., None])


class _Line(torch.autograd.Function):
    """slope x + shift, whose gradients need one tensor of the size of x instead of two."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: Tensor, shift: Tensor) -> Tensor:
        ctx.save_for_backward(x, slope)
        return torch.addcmul(shift[..., None], x, slope[..., None])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, slope = ctx.saved_tensors
        samples = max(1, VALUES // x[0].numel())
        pairs = zip(torch.split(gradient, samples), torch.split(x, samples), strict=True)
        of_slope = torch.cat([(one * other).sum(2) for one, other in pairs])
        return gradient * slope[..., None], of_slope, gradient.sum(2)
