"""Mixtures that assign all channels of a position, or of a sample of one position, at once.

One call of compiled code where there is some (`kernels.joint`), and matrix products elsewhere
(`by_position`): both keep the activations, the responsibilities and one small table.
"""

from typing import Any

import torch
from torch import Tensor

from dacbn.norms.batch_moments import batch_moments
from dacbn.norms.mixture.arguments import (
    D_GATE_MEAN,
    D_GATE_VAR,
    D_LOG_PRIOR,
    D_MEAN,
    D_SCALE,
    D_VAR,
    GATE_MEAN,
    GATE_VAR,
    LOG_PRIOR,
    MEAN,
    SHARE,
    SMALLEST_PRIOR,
    VAR,
    Affine,
    Components,
    Gate,
    LinearGate,
    gate_of,
)
from dacbn.norms.mixture.by_position import (
    as_one_sample,
    as_weights,
    mix_positions,
    pool_positions,
    position_log_joint,
    shape_back,
)
from dacbn.norms.mixture.by_sample import sample_moments
from dacbn.norms.mixture.kernels.cpu import with_layout_of
from dacbn.norms.mixture.kernels.joint import (
    BY_GATE,
    CONSTANT,
    GIVEN,
    LINEAR,
    Followed,
    JointOptions,
    Kernel,
    find_joint_kernel,
    joint_backward,
    joint_forward,
)
from dacbn.norms.mixture.moments import moments_before, responsibilities, weighted_moments
from dacbn.norms.mixture.routes import dense, needs_formulas, passes_on
from dacbn.processes import is_shared


def joint_kernel_for(x: Tensor, num_clusters: int) -> Kernel | None:
    """Return the compiled code for K components that takes x; None if torch has to compute."""
    if x.dtype is not torch.float32 or not x.is_cpu or needs_formulas(x) or is_shared():
        return None
    return find_joint_kernel(num_clusters)


def normalise_jointly(
    x: Tensor,
    gate: Gate | LinearGate | None,
    components: Components,
    affine: Affine,
    options: JointOptions,
    given: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Standardise x by every component, average by responsibility, then scale and shift.

    Args:
        x: (N, C, *); all else has its type.
        gate: the mixture that assigns; its log prior is (K, 1).
        components: the moments that standardise, or from which those of the batch start.
        affine: the map that follows.
        options: how; see there.
        given: responsibilities (K, N L) instead of the gate's.

    Returns:
        the output, like x, and, without gradients, each component's share of x (K, 1), mean and
        biased variance, (K, C) each; those of the batch with `from_batch`.
    """
    kernel = joint_kernel_for(x, len(components.mean))
    if kernel is None:
        y, share, mean, var = _by_torch(x, gate, components, affine, options, given)
        return y, share.detach(), mean.detach(), var.detach()
    y, table = normalise_in_c(kernel, x, gate, components, affine, options, None, given)
    return y, table[SHARE, :, :1], table[MEAN], table[VAR]


def normalise_in_c(
    kernel: Kernel,
    x: Tensor,
    gate: Gate | LinearGate | None,
    components: Components,
    affine: Affine,
    options: JointOptions,
    followed: Followed | None,
    given: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Do what `normalise_jointly` does by compiled code.

    Args:
        kernel: of `joint_kernel_for`.
        x: (N, C, *).
        gate: as there; with `gate_eps`, shares in place of the log prior.
        components: as there.
        affine: as there.
        options: as there.
        followed: a running mixture to move towards the batch's moments; it has the means and
            variances of `components`.
        given: as there.

    Returns:
        the output, and the table (TABLE_ROWS, K, C).
    """
    tensors = dense(x), *_tensors_of(gate), *components, *affine, given
    y, table = _Joint.apply(*tensors, kernel, options, followed)
    return y, table


def _tensors_of(gate: Gate | LinearGate | None) -> tuple[Tensor | None, ...]:
    """Return what `_gate_of` makes a gate of."""
    if gate is None:
        return None, None, None
    return (gate.bias, None, gate.weight) if isinstance(gate, LinearGate) else gate


def _gate_of(tensors: tuple[Any, ...]) -> Gate | LinearGate | None:
    log_prior, mean, var = tensors
    if log_prior is None:
        return None
    return LinearGate(log_prior, var) if mean is None else Gate(log_prior, mean, var)


def assign_jointly(
    x: Tensor, prior: Tensor, mean: Tensor, var: Tensor, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute each component's share (K, 1), mean and biased variance (K, C), without gradients.

    Args:
        x: (M, C, 1).
        prior: the shares of the mixture that assigns, and whose moments are kept without data.
        mean: likewise.
        var: likewise.
        eps: added to the variances that assign.
    """
    kernel = joint_kernel_for(x, len(mean))
    if kernel is None:
        weights = responsibilities(x, *gate_of(prior, mean, var, eps), "position")
        return weighted_moments(x, weights, mean, var)
    options, gate = JointOptions(eps, True, gate_eps=eps), Gate(prior, mean, var)
    before = Components(mean, var)
    _, _, table = joint_forward(kernel, x, gate, before, Affine(), None, options, output=False)
    return table[SHARE, :, :1], table[MEAN], table[VAR]


def variance(x: Tensor) -> Tensor:
    """Compute the biased variance of each channel (C,) of x (N, C, L)."""
    if is_shared():
        return batch_moments(x)[1]
    mean, var = sample_moments(x)
    return var.mean(0) + mean.var(0, correction=0)


def _by_torch(
    x: Tensor,
    gate: Gate | LinearGate | None,
    components: Components,
    affine: Affine,
    options: JointOptions,
    given: Tensor | None,
    found: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    samples = x.unsqueeze(-1) if x.ndim == 2 else x.flatten(2)
    flat = as_one_sample(samples)
    if given is not None:
        r = given.reshape(len(given), flat.shape[0], flat.shape[2]).transpose(0, 1)
    else:
        r = _logits(flat, gate).softmax(1)
    r = r.detach() if options.constant else r
    share = r.mean((0, 2))[:, None]
    mean, var, scale = components
    if options.from_batch:
        if found is not None:
            mean, var = moments_before(flat, as_weights(r), found)
        share, mean, var = pool_positions(flat, r, mean, var)
    wide = var
    if options.least_var:
        wide = var.maximum(options.least_var * variance(samples))
    if options.by_share:
        scale = share.clamp_min(SMALLEST_PRIOR).rsqrt()
    y = mix_positions(flat, r, Components(mean, wide + options.eps, scale), affine)
    return shape_back(y, samples).reshape(x.shape), share, mean, var


def _logits(x: Tensor, gate: Gate | LinearGate | None) -> Tensor:
    """Compute the logits of the components (N, K, L) for positions of x (N, C, L)."""
    assert gate is not None
    return (
        gate.weight @ x + gate.bias if isinstance(gate, LinearGate) else position_log_joint(x, gate)
    )


class _Joint(torch.autograd.Function):
    """The compiled code; gradients that are differentiated again are those of torch."""

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> tuple[Tensor, Tensor]:
        x, gate = inputs[0], _gate_of(inputs[1:4])
        mean, var, scale, weight, bias, given, kernel, options, followed = inputs[4:]
        components, affine = Components(mean, var, scale), Affine(weight, bias)
        found = joint_forward(
            kernel, x, gate, components, affine, given, options, followed=followed
        )
        y, r, table = found
        assert y is not None
        ctx.kernel, ctx.options, ctx.linear = kernel, options, isinstance(gate, LinearGate)
        # what is not learned is in the table, and may have moved before the backward pass
        learned = [None if each is None or not each.requires_grad else each for each in inputs[1:6]]
        ctx.save_for_backward(x, r, table, scale, weight, given, *learned)
        ctx.mark_non_differentiable(table)
        ctx.set_materialize_grads(False)
        return y, table

    @staticmethod
    def backward(ctx: Any, gradient: Tensor | None, _: None) -> tuple[Tensor | None, ...]:
        needed = ctx.needs_input_grad
        if gradient is None:
            return (None,) * len(needed)
        if passes_on(gradient):
            return _gradients_by_torch(ctx, gradient)
        x, r, table, scale, weight, given, *_ = ctx.saved_tensors
        route = LINEAR if ctx.linear else BY_GATE
        if given is not None:
            route = GIVEN if needed[9] else CONSTANT
        route = CONSTANT if ctx.options.constant else route
        tables_too = any(needed[1:7])
        saved, aligned = (x, r, table, scale, weight), with_layout_of(x, gradient)
        found = joint_backward(ctx.kernel, aligned, saved, ctx.options, route, tables_too)
        dx, rows, d_given, d_weight, d_bias = found
        of_tables: list[Tensor | None] = [None] * 6
        if tables_too:
            d_scale = rows[D_SCALE].sum(1, keepdim=True)
            if route in (BY_GATE, LINEAR):
                of_tables = [rows[D_LOG_PRIOR, :, :1], rows[D_GATE_MEAN], rows[D_GATE_VAR]]
            of_tables[3:] = [rows[D_MEAN], rows[D_VAR], d_scale]
        all_gradients = (dx, *of_tables, d_weight, d_bias, d_given, None, None, None)
        return tuple(
            each if need else None for each, need in zip(all_gradients, needed, strict=True)
        )


def _gradients_by_torch(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    """Compute each gradient so that it can be differentiated, or transformed, again."""
    needed = ctx.needs_input_grad
    x, _, table, scale, weight, given, *learned = ctx.saved_tensors
    rows = (table[LOG_PRIOR, :, :1], *table[[GATE_MEAN, GATE_VAR, MEAN, VAR]])
    tables = [row if each is None else each for row, each in zip(rows, learned, strict=True)]
    again = torch.is_grad_enabled()
    bias = None if weight is None else torch.zeros_like(weight)
    with torch.enable_grad():
        flat = (x, *tables, scale, weight, bias, given)
        # copies: one parameter may be two inputs, each with a gradient of its own
        inputs: list[Any] = [None if each is None else each.clone() for each in flat]
        for each, need in zip(inputs, needed, strict=False):
            if need and not each.requires_grad:
                each.requires_grad_()
        tables = inputs[1:4] if given is None else [None] * 3
        gate = _gate_of((tables[0], None if ctx.linear else tables[1], tables[2]))
        components, affine = Components(*inputs[4:7]), Affine(*inputs[7:9])
        y, *_ = _by_torch(inputs[0], gate, components, affine, ctx.options, inputs[9], table)
        wanted = [each for each, need in zip(inputs, needed, strict=False) if need]
        options = {"create_graph": again, "allow_unused": True}
        found = iter(torch.autograd.grad(y, wanted, gradient, **options) if wanted else ())
    gradients = [next(found) if need else None for _, need in zip(inputs, needed, strict=False)]
    return (*gradients, None, None, None)
