"""The lines of samples from their moments, with gradients by hand: a third of the operations.

The formulas are those of `by_sample`, in float64, for a gate and components that are constants,
such as running moments. With responsibilities w of the samples, and sums S_1 and S_2 of their
offsets o from a centre and of q = variance + o^2, weighted by the mass L w, component k has, up to
the pseudo counts,

    n = L sum w,    offset = S_1 / n,    var = (S_2 - (2 S_1 - n offset) offset) / n,

and with a = scale weight / sqrt(var + eps) a sample has the slope sum_k w a and the shift
bias - sum_k w a mean. On tables so small, each operation takes as long as its start.

Shapes: moments, slope and shift are (N, C), components (K, C), responsibilities (K, N).
"""

from typing import Any

import torch
from torch import Tensor

from dacbn.norms.mixture.arguments import Affine, Components, Gate
from dacbn.norms.mixture.by_sample import line_of_samples, pool_samples, sample_log_joint
from dacbn.norms.mixture.moments import PSEUDO_COUNT, to_float64
from dacbn.norms.mixture.routes import passes_on
from dacbn.processes import is_shared

CONSTANTS = 5  # tables of the gate and of the components


def has_constants(gate: Gate, components: Components, mean: Tensor) -> bool:
    """Whether gate and components of moments (N, C) are constants that one process knows."""
    learned = any(each.requires_grad for each in (*gate, components.mean, components.var))
    return not learned and not is_shared() and mean.device.type != "mps"  # MPS has no float64


def lines_by_moments(
    mean: Tensor,
    var: Tensor,
    length: int,
    gate: Gate,
    components: Components,
    affine: Affine,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Compute the lines of samples in training.

    Args:
        mean: of each sample's channels.
        var: of each sample's channels, biased.
        length: positions L of a sample.
        gate: the mixture that assigns; its log prior is (K, 1).
        components: the moments from which those of the batch start.
        affine: the map that follows.
        eps: added to the variances that standardise.

    Returns:
        slope and shift, and, without gradients, each component's share (K, 1), mean and variance.
    """
    flat = (*gate, *components, *affine)
    found: tuple[Tensor, Tensor, Tensor, Tensor, Tensor] = _Lines.apply(
        mean, var, *flat, length, eps
    )
    return found


class _Lines(torch.autograd.Function):
    """Slope and shift; gradients that are differentiated again are those of `by_sample`."""

    @staticmethod
    def forward(ctx: Any, mean: Tensor, var: Tensor, *rest: Any) -> tuple[Tensor, ...]:
        constants = [to_float64(each) for each in rest[:CONSTANTS]]
        log_prior, gate_mean, gate_var, before, before_var = constants
        scale, weight, bias, length, eps = rest[5:]
        centre = gate_mean[0]
        o = mean - centre
        q = torch.addcmul(var.double(), o, o)
        away, precision = gate_mean - centre, gate_var.reciprocal()
        pull = away * precision
        level = torch.addcmul(gate_var.log(), away, pull).sum(1, keepdim=True)
        logits = torch.addmm(torch.add(log_prior, level, alpha=-0.5), precision, q.T, alpha=-0.5)
        w = logits.addmm_(pull, o.T).softmax(0)
        mass = w * length
        count = mass.sum(1, keepdim=True)
        first, n = mass @ o, count + PSEUDO_COUNT
        offset = torch.add(first, before - centre, alpha=PSEUDO_COUNT).div_(n)
        excess = torch.addcmul(first, count, offset, value=-1)  # of the pseudo count alone
        squares = torch.addcmul(mass @ q, first + excess, offset, value=-1)
        pooled_var = squares.add_(before_var, alpha=PSEUDO_COUNT).div_(n).clamp_min_(0)
        pooled = offset + centre
        inverse = (pooled_var + eps).rsqrt_()
        factor = inverse if scale is None else inverse * scale
        a = factor if weight is None else factor * weight
        level = a * pooled
        slope, shift = w.T @ a, w.T @ level
        shift = shift.neg_() if bias is None else torch.sub(bias, shift)
        ctx.rest = length, eps, bias is not None
        terms = o, q, precision, pull, w, mass, n, offset, excess, pooled_var, pooled
        more = inverse, factor, a, level
        ctx.save_for_backward(mean, var, scale, weight, *constants, *terms, *more)
        dtype = mean.dtype
        share = w.mean(1, keepdim=True)
        found = share.to(dtype), pooled.to(dtype), pooled_var.to(dtype)
        ctx.mark_non_differentiable(*found)
        return slope.to(dtype), shift.to(dtype), *found

    @staticmethod
    def backward(ctx: Any, of_slope: Tensor, of_shift: Tensor, *_: Tensor) -> tuple[Any, ...]:
        by_torch = passes_on(of_slope)
        found = (_gradients_by_formulas if by_torch else _gradients)(ctx, of_slope, of_shift)
        needed = ctx.needs_input_grad
        return tuple(each if need else None for each, need in zip(found, needed, strict=True))


def _gradients(ctx: Any, of_slope: Tensor, of_shift: Tensor) -> tuple[Any, ...]:
    mean, _, scale, weight, *rest = ctx.saved_tensors
    o, q, precision, pull, w, mass, n, offset, excess, var, pooled, *more = rest[CONSTANTS:]
    inverse, factor, a, level = more
    length, eps, _ = ctx.rest
    by_slope, by_shift = of_slope.double(), of_shift.double()
    of_level = w @ by_shift
    of_a = torch.addcmul(w @ by_slope, pooled, of_level, value=-1)
    of_w = (a @ by_slope.T).addmm_(level, by_shift.T, alpha=-1)
    of_var = (a * of_a).div_(var + eps).mul_(-0.5)
    of_second = of_var / n
    # by the mean itself, and by what is left of the variance's slope at the mean
    of_offset = torch.addcmul(of_var * excess.mul(-2).div_(n), a, of_level, value=-1).div_(n)
    of_first = torch.addcmul(of_offset, offset, of_second, value=-2)
    of_mass = torch.addcmul(-of_second * var, offset, torch.addcmul(-of_offset, offset, of_second))
    of_w.addmm_(of_first, o.T, alpha=length).addmm_(of_second, q.T, alpha=length)
    of_w.add_(of_mass.sum(1, keepdim=True), alpha=length)
    of_logits = torch._softmax_backward_data(of_w, w, 0, w.dtype)
    of_q = (mass.T @ of_second).addmm_(of_logits.T, precision, alpha=-0.5)
    of_o = (mass.T @ of_first).addmm_(of_logits.T, pull).addcmul_(o, of_q, value=2)
    of_scale = of_weight = None
    if weight is not None:
        of_weight = (factor * of_a).sum(0).to(weight.dtype)
    if scale is not None and ctx.needs_input_grad[7]:
        each = inverse * of_a if weight is None else inverse * of_a * weight
        of_scale = each.sum(1, keepdim=True) if scale.shape[1] == 1 else each
        of_scale = of_scale.to(scale.dtype)
    of_bias = by_shift.sum(0).to(mean.dtype)
    dtype = mean.dtype
    moments = of_o.to(dtype), of_q.to(dtype)
    return (*moments, *[None] * CONSTANTS, of_scale, of_weight, of_bias, None, None)


def _gradients_by_formulas(ctx: Any, of_slope: Tensor, of_shift: Tensor) -> tuple[Any, ...]:
    """Compute the gradients so that they can be differentiated, or transformed, again."""
    mean, var, scale, weight, *rest = ctx.saved_tensors
    log_prior, *tables = rest[:CONSTANTS]
    length, eps, has_bias = ctx.rest
    again = torch.is_grad_enabled()
    with torch.enable_grad():
        # copies: one parameter may be two inputs, each with a gradient of its own
        inputs = [None if each is None else each.clone() for each in (mean, var, scale, weight)]
        bias = torch.zeros_like(mean[0]).requires_grad_() if has_bias else None
        wide: list[Any] = [None if each is None else each.double() for each in (*inputs, bias)]
        weights = sample_log_joint(wide[0], wide[1], Gate(log_prior, *tables[:2])).softmax(0)
        _, *found = pool_samples(wide[0], wide[1], length, weights, tables[2], tables[3])
        components = Components(found[0], found[1] + eps, wide[2])
        lines = line_of_samples(weights, components, Affine(*wide[3:]))
        given = [each for each in (*inputs, bias) if each is not None and each.requires_grad]
        options = {"create_graph": again, "allow_unused": True}
        outer = of_slope.double(), of_shift.double()
        gradients = iter(torch.autograd.grad(lines, given, outer, **options))
    every = [
        next(gradients) if each is not None and each.requires_grad else None
        for each in (*inputs, bias)
    ]
    return (*every[:2], *[None] * CONSTANTS, *every[2:], None, None)
