"""Mixtures that assign positions, computed by matrix products, a few samples at a time.

All channels of a position share one assignment, so responsibilities are small, and every tensor as
large as the activations is the product of a table and responsibilities. No tensor is as large as K
copies of the activations; each operation keeps the activations and responsibilities for its
gradient.

Tables that a gradient needs are copied, because running moments may change before the backward
pass.

Shapes: x is (N, C, L); responsibilities r of K components are (N, K, L) and sum to one over K;
tables are (K, C).
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from dacbn.norms.mixture.arguments import Affine, Components, Gate, in_type
from dacbn.norms.mixture.moments import (
    PSEUDO_COUNT,
    VANISHING_COUNT,
    log_joint,
    mix,
    per_component,
    pool,
    shares,
    to_float64,
    weighted_moments,
)
from dacbn.norms.mixture.routes import (
    has_no_memory,
    is_batched,
    needs_formulas,
    without_autocast,
)
from dacbn.processes import is_shared, total
from dacbn.processes.share import running, shared_rows

VALUES = 1 << 18  # activations processed at a time on a CPU: they fit in its cache


def as_one_sample(x: Tensor) -> Tensor:
    """View samples of one position (N, C, 1) as one sample (1, C, N); return others unchanged.

    The results are the same, and matrix products are faster with many positions.
    """
    return x.transpose(0, 2) if x.shape[2] == 1 else x


def shape_back(y: Tensor, x: Tensor) -> Tensor:
    """Undo `as_one_sample`: view y with the shape of x."""
    return y if y.shape == x.shape else y.transpose(0, 2)


def position_log_joint(x: Tensor, gate: Gate) -> Tensor:
    """Compute log p(k) + log p(x | k) of positions, (N, K, L), as `moments.log_joint` does.

    Args:
        x: (N, C, L).
        gate: the mixture; its log prior is (K, 1).
    """
    if needs_formulas(x):
        return log_joint(x, *gate, "position")[:, :, 0].transpose(0, 1)
    distances = _Distances.apply(x, gate.mean.clone(), gate.var.reciprocal())
    at_mean = (2 * torch.pi * gate.var).log().sum(1, keepdim=True)
    joint: Tensor = gate.log_prior - 0.5 * (distances + at_mean)
    return joint


def pool_positions(
    x: Tensor, r: Tensor, prior_mean: Tensor, prior_var: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute each component's share, mean and biased variance, as `moments.weighted_moments` does.

    A batch that processes share is pooled over all of them, in one exchange, and so are gradients.

    Args:
        x: (N, C, L).
        r: (N, K, L).
        prior_mean: (K, C), a constant; a component without data keeps it.
        prior_var: (K, C); likewise.

    Returns:
        share of the data (K, 1), mean (K, C), variance (K, C). The share has no gradient
        where processes share the batch.
    """
    shared = is_shared()
    # what one process exchanges has to suit the others, also where it has nothing
    if has_no_memory(x) or (x.numel() == 0 and not shared):
        return weighted_moments(x, as_weights(r), prior_mean, prior_var)
    share, mean, var = _Pool.apply(x, r, prior_mean, prior_var)
    return share if shared else r.mean((0, 2))[:, None], mean, var


def mix_positions(x: Tensor, r: Tensor, components: Components, affine: Affine) -> Tensor:
    """Standardise x by every component, average by position, then scale and shift.

    Args:
        x: (N, C, L).
        r: (N, K, L).
        components: the moments that standardise; their variances are positive.
        affine: the map that follows.
    """
    mean, var, scale = components
    weight, bias = affine
    if needs_formulas(x):
        terms = as_weights(r) if scale is None else as_weights(r) * per_component(scale)
        y = mix(x, terms, mean, var)
        if weight is not None and bias is not None:
            y = torch.addcmul(bias[:, None], y, weight[:, None])
        return y
    slope = var.rsqrt()
    for factor in (scale, weight):
        slope = slope if factor is None else slope * factor
    shift = -slope * mean.clone()
    bias = torch.zeros_like(mean[0]) if bias is None else bias
    lines: Tensor = _Lines.apply(x, r, slope, shift, bias)
    return lines


class _Distances(torch.autograd.Function):
    """sum_c p_kc (x_c - m_kc)^2 at each position: (N, K, L) of x, means and precisions (K, C)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, mean: Tensor, precision: Tensor) -> Tensor:
        ctx.save_for_backward(x, mean, precision)
        out = x.new_empty(x.shape[0], len(mean), x.shape[2])
        with without_autocast(x):
            for part in _samples(x):
                for k, squares in _squares(x[part], mean):
                    out[part, k] = precision[k] @ squares
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, mean, precision = ctx.saved_tensors
        dx = _room(gradient, x)
        d_mean, d_precision = (_room(gradient, each).zero_() for each in (mean, precision))
        tables_too = any(ctx.needs_input_grad[1:])
        with without_autocast(x):
            for part in _samples(x):
                some, g = x[part], gradient[part]
                dx[part] = 2 * (some * (precision.T @ g)).sub_((precision * mean).T @ g)
                if tables_too:
                    products = (g @ some.transpose(1, 2)).sum(0)
                    d_mean += 2 * precision * (mean * g.sum((0, 2))[:, None] - products)
                    for k, squares in _squares(some, mean):
                        d_precision[k] += (squares * g[:, k, None]).sum((0, 2))
        return dx, d_mean, d_precision


class _Pool(torch.autograd.Function):
    """Share (K, 1), mean and biased variance of each component, (K, C) each, of x and r."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, r: Tensor, prior_mean: Tensor, prior_var: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        ctx.rows = shared_rows()
        few = PSEUDO_COUNT if ctx.rows is None else VANISHING_COUNT
        mass = r.sum((0, 2))[:, None]
        count = mass + few
        centre = prior_mean.mean(0)
        sums, squares_of = few * (prior_mean - centre), few * prior_var
        with without_autocast(x):
            for part in _samples(x):
                offset = x[part] - centre[:, None]
                sums += (r[part] @ offset.transpose(1, 2)).sum(0)
            away = sums / count
            mean = centre + away
            for part in _samples(x):
                for k, squares in _squares(x[part], mean):
                    squares_of[k] += (squares @ r[part, k, :, None]).sum((0, 2))
        var = squares_of / count
        if ctx.rows is not None:
            wide, away = to_float64(mass), to_float64(away)
            sums, squares_of = wide * away, wide * (to_float64(var) + away.square())
            wide, away, spread = pool(wide, sums, squares_of, prior_mean - centre, prior_var)
            mass, mean, var = in_type(x.dtype, shares(wide), centre + away, spread)
        ctx.save_for_backward(x, r, mean, var, prior_mean.clone())
        ctx.mark_non_differentiable(mass)
        return mass, mean, var

    @staticmethod
    def backward(ctx: Any, _: Tensor, of_mean: Tensor, of_var: Tensor) -> tuple[Tensor | None, ...]:
        x, r, mean, var, prior_mean = ctx.saved_tensors
        mass = r.sum((0, 2))[:, None]
        if ctx.rows is not None:
            with running(ctx.rows):
                mass, of_mean, of_var = total(mass, of_mean, of_var)
        count = mass + PSEUDO_COUNT
        drag = -2 * PSEUDO_COUNT * (mean - prior_mean) / count  # d var / d mean
        by_mean, by_var = (of_mean + of_var * drag) / count, of_var / count
        dx, dr = _room(of_mean, x), _room(of_mean, r)
        constant = (by_mean * mean + by_var * var).sum(1, keepdim=True)
        with without_autocast(x):
            for part in _samples(x):
                some, weights = x[part], r[part]
                slope, shift = (2 * by_var).T @ weights, (by_mean - 2 * by_var * mean).T @ weights
                dx[part] = torch.addcmul(shift, some, slope)
                dr[part] = by_mean @ some - constant
                for k, squares in _squares(some, mean):
                    dr[part, k] += by_var[k] @ squares
        return dx, dr, None, None


class _Lines(torch.autograd.Function):
    """bias + sum_k r_k (slope_k x + shift_k) at each position, of x, r, tables (K, C) and (C,)."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, r: Tensor, slope: Tensor, shift: Tensor, bias: Tensor
    ) -> Tensor:
        ctx.save_for_backward(x, r, slope, shift)
        y = torch.empty_like(x)
        with without_autocast(x):
            for part in _samples(x):
                shifts = (shift.T @ r[part]).add_(bias[:, None])
                y[part] = shifts.addcmul_(x[part], slope.T @ r[part])
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, ...]:
        x, r, slope, shift = ctx.saved_tensors
        dx, dr = _room(gradient, x), _room(gradient, r)
        d_slope, d_shift = (_room(gradient, each).zero_() for each in (slope, shift))
        with without_autocast(x):
            for part in _samples(x):
                g, weights = gradient[part], r[part]
                product = g * x[part]
                dx[part] = g * (slope.T @ weights)
                dr[part] = slope @ product + shift @ g
                d_slope += (weights @ product.transpose(1, 2)).sum(0)
                d_shift += (weights @ g.transpose(1, 2)).sum(0)
        return dx, dr, d_slope, d_shift, gradient.sum((0, 2))


def _room(gradient: Tensor, like: Tensor) -> Tensor:
    """Return an empty tensor like another, for each gradient if there is a batch of them."""
    if is_batched(gradient):
        return gradient.new_empty(like.shape, dtype=like.dtype)
    return torch.empty_like(like)


def as_weights(r: Tensor) -> Tensor:
    """View responsibilities (N, K, L) as the weights (K, N, 1, L) of `moments`."""
    return r.transpose(0, 1)[:, :, None]


def _squares(x: Tensor, mean: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Square the offsets of x (n, C, L) from each component's mean, one component at a time."""
    for k, centre in enumerate(mean):
        yield k, (x - centre[:, None]).square_()


def _samples(x: Tensor) -> Iterator[slice]:
    """Split the samples of x (N, C, L) so that a part stays in a CPU's cache.

    Without samples there is one empty part: gradients have the same graph on all processes then.
    """
    step = max(1, len(x))
    if x.device.type == "cpu":
        step = max(1, VALUES // max(1, x.shape[1] * x.shape[2]))
    return (slice(start, start + step) for start in range(0, max(1, len(x)), step))
