"""Mixtures that assign whole samples, computed from the moments of each sample's channels.

These means and variances, (N, C) each, determine the responsibilities and the moments of the
components. The output is a linear function of each channel of each sample. No tensor is as large as
K copies of the activations, which are read twice.

Shapes: x is (N, C, L); weights of K components are (K, N) and sum to one over K.
"""

from functools import partial
from typing import Any

import torch
from torch import Tensor

from dacbn.norms.mixture.arguments import Affine, Components, Gate
from dacbn.norms.mixture.by_line import Draw, line_by_moments, moments_by
from dacbn.norms.mixture.kernels.lines import line_kernel_for
from dacbn.norms.mixture.moments import pool, shares, to_float64
from dacbn.norms.mixture.routes import needs_formulas
from dacbn.processes import is_shared

VALUES = 1 << 20  # activations multiplied at a time, to keep temporary tensors small


def sample_moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the mean and biased variance of each sample's channels, (N, C) each, of (N, C, *)."""
    x = _with_positions(x)
    if x.shape[2] == 1 or x.numel() == 0:
        mean = x.sum(2, dtype=torch.promote_types(x.dtype, torch.float32))
        return mean, torch.zeros_like(mean)
    if kernel := line_kernel_for(x):
        return moments_by(kernel, x)
    if needs_formulas(x):  # a compiler fuses this with its neighbours
        var, mean = torch.var_mean(x, 2, correction=0)
        return mean, var
    mean, var = _SampleMoments.apply(x)
    return mean, var


def moments_and_line(x: Tensor) -> tuple[Tensor, Tensor, Draw]:
    """Compute `sample_moments` of x (N, C, *), and what draws its line by slope and shift, once."""
    if kernel := line_kernel_for(x):
        return line_by_moments(kernel, x)
    return *sample_moments(x), partial(draw_line, x)


def sample_log_joint(mean: Tensor, var: Tensor, gate: Gate) -> Tensor:
    """Compute log p(k) + log p(x | k) of samples, averaged over their positions.

    Args:
        mean: of each sample's channels, (N, C).
        var: of each sample's channels, biased, (N, C).
        gate: the mixture; its log prior is (K, 1).

    Returns:
        (K, N), as `moments.log_joint` computes from all positions.
    """
    centre = gate.mean[0].detach()
    offset, gate_offset = to_float64(mean - centre), to_float64(gate.mean - centre)
    precision = to_float64(gate.var).reciprocal()
    exponent = (
        precision @ torch.addcmul(to_float64(var), offset, offset).T
        - 2 * (gate_offset * precision) @ offset.T
        + (gate_offset.square() * precision).sum(1, keepdim=True)
    )
    at_mean = (2 * torch.pi * gate.var).log().sum(1, keepdim=True)
    return (gate.log_prior - 0.5 * (exponent + at_mean)).to(mean.dtype)


def pool_samples(
    mean: Tensor, var: Tensor, length: int, weights: Tensor, prior_mean: Tensor, prior_var: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute each component's share, mean and biased variance from those of the samples.

    A batch that processes share is pooled over all of them, in one exchange.

    Args:
        mean: of each sample's channels, (N, C).
        var: of each sample's channels, biased, (N, C).
        length: positions L of a sample.
        weights: (K, N).
        prior_mean: (K, C); a component without samples keeps it.
        prior_var: (K, C); likewise.

    Returns:
        share of the data (K, 1), mean (K, C), variance (K, C), as in `moments.weighted_moments`.
    """
    shared = is_shared()
    centre = prior_mean[0] if shared else mean[0].detach()
    offset, mass = to_float64(mean - centre), length * to_float64(weights)
    count = mass.sum(1, keepdim=True)
    first, second = mass @ offset, mass @ torch.addcmul(to_float64(var), offset, offset)
    count, pooled, pooled_var = pool(count, first, second, prior_mean - centre, prior_var)
    share = shares(count).to(mean.dtype) if shared else weights.mean(1, keepdim=True)
    return share, centre + pooled.to(mean.dtype), pooled_var.to(mean.dtype)


def mix_samples(x: Tensor, weights: Tensor, components: Components, affine: Affine) -> Tensor:
    """Standardise x by every component, average by sample, then scale and shift.

    Args:
        x: (N, C, L).
        weights: of the components, (K, N), which need not sum to one.
        components: the moments that standardise; their variances are positive.
        affine: the map that follows.
    """
    return draw_line(x, *line_of_samples(weights, components, affine))


def draw_line(x: Tensor, slope: Tensor, shift: Tensor) -> Tensor:
    """Compute slope x + shift of x (N, C, *) and coefficients (N, C)."""
    flat = _with_positions(x)
    if needs_formulas(x):
        return torch.addcmul(shift[..., None], flat, slope[..., None]).reshape(x.shape)
    y: Tensor = _Line.apply(flat, slope, shift)
    return y.reshape(x.shape)


def line_of_samples(
    weights: Tensor, components: Components, affine: Affine
) -> tuple[Tensor, Tensor]:
    """Compute slope and shift of `mix_samples`, (N, C) each."""
    mean, var, scale = components
    weight, bias = affine
    terms = weights if scale is None else weights * scale
    slopes = to_float64(var.rsqrt() if weight is None else var.rsqrt() * weight)
    by_sample = to_float64(terms).T
    slope = (by_sample @ slopes).to(mean.dtype)
    shift = (by_sample @ (slopes * to_float64(mean))).to(mean.dtype).neg()
    return slope, shift if bias is None else shift + bias


def _with_positions(x: Tensor) -> Tensor:
    """View x (N, C, *) as (N, C, L)."""
    return x.unsqueeze(-1) if x.ndim == 2 else x.flatten(2)


class _SampleMoments(torch.autograd.Function):
    """Mean and variance, several times as fast as `torch.var_mean`.

    Uses GroupNorm's kernel where positions are contiguous.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        samples, channels, length = x.shape
        if x.stride(1) == 1 < channels:  # channels last
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
    def backward(ctx: Any, of_mean: Tensor, of_var: Tensor) -> Tensor:
        x, mean = ctx.saved_tensors
        length = x.shape[2]
        slope = of_var * (2 / length)
        shift = of_mean / length - slope * mean
        return torch.addcmul(shift[..., None], x, slope[..., None])


class _Line(torch.autograd.Function):
    """slope x + shift, with gradients that need one temporary tensor of x's size instead of two."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: Tensor, shift: Tensor) -> Tensor:
        ctx.save_for_backward(x, slope)
        return torch.addcmul(shift[..., None], x, slope[..., None])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, slope = ctx.saved_tensors
        samples = max(1, VALUES // x[0].numel())
        pairs = zip(torch.split(gradient, samples), torch.split(x, samples), strict=True)
        of_slope = torch.cat([(one * other).sum(2) for one, other in pairs])
        return gradient * slope[..., None], of_slope, gradient.sum(2)
