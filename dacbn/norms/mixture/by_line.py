"""Lines in each channel of each sample, whose coefficients depend on its mean and variance.

Each value passes memory as often as in BatchNorm, also in half precision: two passes read x, two
read x and the gradient, and each pair writes one tensor. To this end the gradient of x by its
moments and that by the line itself are computed together. The line hands the latter on in its two
factors, the gradient of its output and its slope, as if they were gradients of two outputs of the
moments, which nothing else sees.

Shapes: x is (N, C, *); moments and coefficients are (N, C), at least float32.
"""

from collections.abc import Callable
from functools import partial
from math import prod
from typing import Any

import torch
from torch import Tensor

from dacbn.norms.mixture.kernels.cpu import with_layout_of
from dacbn.norms.mixture.kernels.lines import (
    LineKernel,
    find_moments,
    find_values,
    sum_gradients,
)
from dacbn.norms.mixture.routes import dense, passes_on

Draw = Callable[[Tensor, Tensor], Tensor]  # of slope and shift


def moments_by(kernel: LineKernel, x: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the mean and biased variance of each sample's channels."""
    mean, var, *_ = _Moments.apply(kernel, dense(x))
    return mean, var


def line_by_moments(kernel: LineKernel, x: Tensor) -> tuple[Tensor, Tensor, Draw]:
    """Compute the mean and biased variance of each sample's channels, and what draws the line.

    Args:
        kernel: that takes x.
        x: the activations.

    Returns:
        mean, variance, and a function that returns slope x + shift; to be called once.
    """
    x = dense(x)
    mean, var, same, factor = _Moments.apply(kernel, x)
    return mean, var, partial(_Line.apply, kernel, x, same, factor)


def _like(x: Tensor, table: Tensor) -> Tensor:
    """View a table (N, C) so that it broadcasts against x."""
    return table.reshape(*table.shape, *[1] * (x.ndim - 2))


def _sum(x: Tensor) -> Tensor:
    """Sum x over its positions."""
    return x.sum([*range(2, x.ndim)]) if x.ndim > 2 else x


class _Moments(torch.autograd.Function):
    """Mean and variance; x again, and a stand-in for a factor of its gradient."""

    @staticmethod
    def forward(ctx: Any, kernel: LineKernel, x: Tensor) -> tuple[Tensor, ...]:
        mean, var = find_moments(kernel, x)
        ctx.kernel = kernel
        ctx.save_for_backward(x, mean)
        ctx.set_materialize_grads(False)
        return mean, var, x.view_as(x), torch.empty_like(mean)

    @staticmethod
    def backward(
        ctx: Any,
        of_mean: Tensor | None,
        of_var: Tensor | None,
        gradient: Tensor | None,
        slope: Tensor | None,
    ) -> tuple[None, Tensor | None]:
        x, mean = ctx.saved_tensors
        length = prod(x.shape[2:])
        if of_mean is None and of_var is None and gradient is None:
            return None, None
        of_x = torch.zeros_like(mean) if of_var is None else of_var * (2 / length)
        shift = -of_x * mean
        if of_mean is not None:
            shift = shift + of_mean / length
        if not passes_on(shift if gradient is None else gradient):
            return None, find_values(ctx.kernel, x, of_x, shift, gradient, slope)
        dx = torch.addcmul(_like(x, shift), x.to(mean.dtype), _like(x, of_x))
        if gradient is not None and slope is not None:
            dx = dx + gradient * _like(x, slope)
        return None, dx.to(x.dtype)


class _Line(torch.autograd.Function):
    """slope x + shift; the gradient of x is handed on in two factors, as those of its stand-ins.

    A second derivative reaches x itself, by what depends on it here.
    """

    @staticmethod
    def forward(
        ctx: Any,
        kernel: LineKernel,
        x: Tensor,
        same: Tensor,
        factor: Tensor,
        slope: Tensor,
        shift: Tensor,
    ) -> Tensor:
        ctx.kernel = kernel
        ctx.save_for_backward(x, slope)
        return find_values(kernel, x, slope, shift)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, slope = ctx.saved_tensors
        by_torch = passes_on(gradient)
        gradient = gradient if by_torch else with_layout_of(x, gradient)
        of_slope = of_shift = None
        if any(ctx.needs_input_grad[4:]):
            if by_torch:
                wide = gradient.to(slope.dtype)
                of_shift, of_slope = _sum(wide), _sum(wide * x)
            else:
                of_shift, of_slope = sum_gradients(ctx.kernel, x, gradient)
        return None, None, gradient, slope, of_slope, of_shift
