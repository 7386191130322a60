"""Mixtures per channel as one differentiable operator, for autograd and for torch.compile.

Both accept flat tensors only: the named tuples of arguments are unpacked here. A gradient that is
differentiated again is that of the formulas in `moments`, which need K times the memory.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from dacbn.norms.mixture.arguments import (
    GATE_MEAN,
    GATE_VAR,
    GRADIENT_ROWS,
    MEAN,
    SHARE,
    TABLE_ROWS,
    VAR,
    Affine,
    Components,
    Gate,
    Options,
    Saved,
    in_type,
)
from dacbn.norms.mixture.kernels.choose import kernels_for
from dacbn.norms.mixture.moments import (
    mix,
    moments_before,
    per_component,
    responsibilities,
    weighted_moments,
)
from dacbn.norms.mixture.routes import (
    HALF,
    dense,
    is_exported,
    is_recorded,
    is_transformed,
    passes_on,
)
from dacbn.norms.mixture.shared import shared_backward, shared_forward
from dacbn.processes.share import running, shared_rows

# The inputs whose gradients are rows of one table: log prior, ..., scale.
TABLES = slice(1, 1 + GRADIENT_ROWS)


def normalise_channels(
    x: Tensor, gate: Gate, components: Components, affine: Affine, options: Options
) -> tuple[Tensor, Tensor]:
    """Normalise x by a mixture per channel.

    Args:
        x: (N, C, *).
        gate: the mixture that assigns.
        components: the moments that standardise.
        affine: the map that follows.
        options: eps, and whether the batch's moments standardise.

    Returns:
        the output, like x, and the table (TABLE_ROWS, K, C), without gradients.
    """
    tensors: tuple[Any, ...] = (x, *gate, *components, *affine)
    if x.dtype in HALF or len({tensor.dtype for tensor in tensors if tensor is not None}) > 1:
        tensors = _in_one_type(*tensors)
    if is_transformed() or is_exported():
        y, table = _by_formulas(*tensors, *options)
        return y.to(x.dtype), table
    tensors = (dense(tensors[0]), *tensors[1:])
    if is_recorded(x):
        y, table = forward_operator(*tensors, *options)
        return y.to(x.dtype), table.detach()
    y, table = _Eager.apply(*tensors, *options)
    return y if y.dtype is x.dtype else y.to(x.dtype), table


def _in_one_type(x: Tensor, *tables: Tensor | None) -> tuple[Any, ...]:
    """Convert all to the widest type, float32 at least; if it is that, half-precision x stays."""
    wide = torch.float32
    for tensor in (x, *tables):
        wide = wide if tensor is None else torch.promote_types(wide, tensor.dtype)
    stays = x.dtype in HALF and wide is torch.float32
    return (x if stays else x.to(wide), *in_type(wide, *tables))


def _by_formulas(x: Tensor, *flat: Any, found: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Compute the output and the table by what torch can differentiate and transform.

    The components of a table that was `found` may be those of the batch already.
    """
    gate, (mean, var, scale) = Gate(*flat[:3]), Components(*flat[3:6])
    weight, bias, eps, from_batch, _ = flat[6:]
    wide = (x.unsqueeze(-1) if x.ndim == 2 else x.flatten(2)).to(gate.mean.dtype)
    r = responsibilities(wide, *gate, "channel")
    share = torch.zeros_like(mean)
    if from_batch:
        before = (mean, var) if found is None else moments_before(wide, r, found)
        share, mean, var = weighted_moments(wide, r, *(each.detach() for each in before))
    y = mix(wide, r if scale is None else r * per_component(scale), mean, var + eps)
    if weight is not None and bias is not None:
        y = torch.addcmul(bias[:, None], y, weight[:, None])
    rows = {SHARE: share.detach(), MEAN: mean.detach(), VAR: var.detach()}
    nothing = torch.zeros_like(rows[MEAN])
    table = torch.stack([rows.get(row, nothing) for row in range(TABLE_ROWS)])
    return y.reshape(x.shape).to(x.dtype), table


def _forward(x: Tensor, *flat: Any) -> tuple[Tensor, Tensor]:
    gate, components = Gate(*flat[:3]), Components(*flat[3:6])
    affine, options = Affine(*flat[6:8]), Options(*flat[8:])
    kernels = kernels_for(x, len(gate.mean))
    if options.from_batch and options.shared:
        return shared_forward(kernels, x, gate, components, affine, options)
    return kernels.forward(x, gate, components, affine, options)


def _backward(gradient: Tensor, *flat: Any) -> tuple[Tensor, ...]:
    saved, options, tables_too = Saved(*flat[:4]), Options(*flat[4:7]), flat[7]
    kernels = kernels_for(saved.x, saved.table.shape[1])
    if options.from_batch and options.shared:
        return shared_backward(kernels, gradient, saved, options, tables_too)
    return kernels.backward(gradient, saved, options, tables_too)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.options = Options(*inputs[9:])  # torch leaves out a last argument that is the default
    x, scale, weight = inputs[0], *inputs[6:8]
    ctx.save_for_backward(x, output[1], scale, weight)


def _save_all(ctx: Any, inputs: tuple[Any, ...], table: Tensor) -> None:
    """Save what `_by_formulas` needs too: the table has the values of all but the log prior.

    Running moments are not saved themselves, because a later batch moves them.
    """
    x, log_prior, *tables, scale, weight = inputs[:8]
    ctx.options, ctx.rows = Options(*inputs[9:]), shared_rows()
    learned = [each if each.requires_grad else None for each in tables]
    ctx.save_for_backward(x, table, scale, weight, log_prior, *learned)


def _gradients(ctx: Any, gradient: Tensor | None, backward: Any) -> tuple[Tensor | None, ...]:
    """Compute the gradient of each input; those of tables only where one of them is needed."""
    needed = ctx.needs_input_grad
    if gradient is None:
        return (None,) * len(needed)
    tables_too = any(needed[TABLES])
    saved = ctx.saved_tensors[:4]
    dx, tables, d_weight, d_bias = backward(gradient, *saved, *ctx.options, tables_too)
    of_tables = tables.unbind() if tables_too else (None,) * GRADIENT_ROWS
    gradients = (dx, *of_tables, d_weight, d_bias, None, None, None)
    return tuple(each if need else None for each, need in zip(gradients, needed, strict=False))


def gradients_by_formulas(
    needed: Sequence[bool], saved: Sequence[Tensor | None], options: Options, gradient: Tensor
) -> tuple[Tensor | None, ...]:
    """Compute the gradient of each input so that it can be differentiated, or transformed, again.

    The bias is not among the inputs: the gradient does not depend on it.
    """
    x, table, scale, weight, log_prior, *learned = saved
    assert table is not None
    rows = table[[GATE_MEAN, GATE_VAR, MEAN, VAR]]
    tables = [row if each is None else each for row, each in zip(rows, learned, strict=True)]
    again = torch.is_grad_enabled()
    with torch.enable_grad():
        # copies: one parameter may be two inputs, each with a gradient of its own
        flat = (x, log_prior, *tables, scale, weight)
        inputs: list[Any] = [None if each is None else each.clone() for each in flat]
        bias = None if weight is None else torch.zeros_like(weight)
        y, _ = _by_formulas(*inputs, bias, *options, found=table)
        wanted = [each for each, need in zip(inputs, needed, strict=False) if need]
        how = {"create_graph": again, "allow_unused": True}
        found = iter(torch.autograd.grad(y, wanted, gradient, **how) if wanted else ())
    gradients = [next(found) if need else None for _, need in zip(inputs, needed, strict=False)]
    of_bias = gradient.sum([0, *range(2, gradient.ndim)])
    last = of_bias.to(inputs[1].dtype) if needed[len(inputs)] else None
    return (*gradients, last, None, None, None)


class _Eager(torch.autograd.Function):
    """The operator without torch's dispatcher, which would dominate on small activations."""

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> tuple[Tensor, Tensor]:
        output = _forward(*inputs)
        _save_all(ctx, inputs, output[1])
        ctx.mark_non_differentiable(output[1])
        ctx.set_materialize_grads(False)
        return output

    @staticmethod
    def backward(ctx: Any, gradient: Tensor | None, _: None) -> tuple[Tensor | None, ...]:
        if gradient is not None and passes_on(gradient):
            with running(ctx.rows):
                return gradients_by_formulas(
                    ctx.needs_input_grad, ctx.saved_tensors, ctx.options, gradient
                )
        return _gradients(ctx, gradient, _backward)


@torch.library.custom_op(
    "dacbn::normalise_by_mixture",
    mutates_args=(),
    schema="(Tensor x, Tensor log_prior, Tensor gate_mean, Tensor gate_var, Tensor mean,"
    " Tensor var, Tensor? scale, Tensor? weight, Tensor? bias, float eps, bool from_batch,"
    " bool shared=False)"
    " -> (Tensor, Tensor)",
)
def forward_operator(x: Tensor, *flat: Any) -> tuple[Tensor, Tensor]:
    """The forward operator for torch.compile."""
    return _forward(dense(x), *flat)


@torch.library.custom_op(
    "dacbn::normalise_by_mixture_backward",
    mutates_args=(),
    schema="(Tensor gradient, Tensor x, Tensor table, Tensor? scale, Tensor? weight, float eps,"
    " bool from_batch, bool shared, bool tables_too) -> (Tensor, Tensor, Tensor, Tensor)",
)
def backward_operator(gradient: Tensor, x: Tensor, *flat: Any) -> tuple[Tensor, ...]:
    """The backward operator for torch.compile."""
    return _backward(gradient, dense(x), *flat)


@forward_operator.register_fake
def _forward_shapes(x: Tensor, log_prior: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    return torch.empty_like(x), log_prior.new_empty(TABLE_ROWS, *log_prior.shape)


@backward_operator.register_fake
def _backward_shapes(gradient: Tensor, x: Tensor, table: Tensor, *rest: Any) -> tuple[Tensor, ...]:
    clusters, channels = table.shape[1:]
    tables = table.new_empty(GRADIENT_ROWS if rest[-1] else 0, clusters, channels)
    return torch.empty_like(x), tables, table.new_empty(channels), table.new_empty(channels)


def _operator_backward(ctx: Any, gradient: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
    return _gradients(ctx, gradient, backward_operator)


forward_operator.register_autograd(_operator_backward, setup_context=_save)
