"""Mixtures per channel as one differentiable operator, for autograd and for torch.compile.

Both accept flat tensors only: the named tuples of arguments are unpacked here. The operator is
differentiable once.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from dacbn.norms.mixture.arguments import (
    GRADIENT_ROWS,
    TABLE_ROWS,
    Affine,
    Components,
    Gate,
    Options,
    Saved,
)
from dacbn.norms.mixture.kernels.choose import kernels_for

# Types of activations that need no conversion: they are computed with in the tables' type.
HALF = (torch.float16, torch.bfloat16)
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
    if not (x.is_contiguous() or x.movedim(1, -1).is_contiguous()):
        x = x.contiguous()
    tensors: tuple[Tensor | None, ...] = (x, *gate, *components, *affine)
    if x.dtype != components.mean.dtype and x.dtype not in HALF:
        dtype = torch.promote_types(x.dtype, components.mean.dtype)
        tensors = tuple(None if tensor is None else tensor.to(dtype) for tensor in tensors)
    if torch.compiler.is_compiling():
        y, table = forward_operator(*tensors, *options)
        return y, table.detach()
    y, table = _Eager.apply(*tensors, *options)
    return y, table


def _forward(x: Tensor, *flat: Any) -> tuple[Tensor, Tensor]:
    gate, components = Gate(*flat[:3]), Components(*flat[3:6])
    kernels = kernels_for(x, len(gate.mean))
    return kernels.forward(x, gate, components, Affine(*flat[6:8]), Options(*flat[8:]))


def _backward(gradient: Tensor, *flat: Any) -> tuple[Tensor, ...]:
    saved, options = Saved(*flat[:4]), Options(*flat[4:6])
    kernels = kernels_for(saved.x, saved.table.shape[1])
    return kernels.backward(gradient, saved, options, flat[6])


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    x, *_, scale, weight, _bias, eps, from_batch = inputs
    ctx.options = eps, from_batch
    ctx.save_for_backward(x, output[1], scale, weight)


def _gradients(ctx: Any, gradient: Tensor | None, backward: Any) -> tuple[Tensor | None, ...]:
    """Compute the gradient of each input; those of tables only where one of them is needed."""
    needed = ctx.needs_input_grad
    if gradient is None:
        return (None,) * len(needed)
    tables_too = any(needed[TABLES])
    dx, tables, d_weight, d_bias = backward(gradient, *ctx.saved_tensors, *ctx.options, tables_too)
    of_tables = tables.unbind() if tables_too else (None,) * GRADIENT_ROWS
    gradients = (dx, *of_tables, d_weight, d_bias, None, None)
    return tuple(each if need else None for each, need in zip(gradients, needed, strict=True))


class _Eager(torch.autograd.Function):
    """The operator without torch's dispatcher, which would dominate on small activations."""

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> tuple[Tensor, Tensor]:
        output = _forward(*inputs)
        _save(ctx, inputs, output)
        ctx.mark_non_differentiable(output[1])
        ctx.set_materialize_grads(False)
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor | None, _: None) -> tuple[Tensor | None, ...]:
        return _gradients(ctx, gradient, _backward)


@torch.library.custom_op(
    "dacbn::normalise_by_mixture",
    mutates_args=(),
    schema="(Tensor x, Tensor log_prior, Tensor gate_mean, Tensor gate_var, Tensor mean,"
    " Tensor var, Tensor? scale, Tensor? weight, Tensor? bias, float eps, bool from_batch)"
    " -> (Tensor, Tensor)",
)
def forward_operator(*inputs: Any) -> tuple[Tensor, Tensor]:
    """The forward operator for torch.compile."""
    return _forward(*inputs)


@torch.library.custom_op(
    "dacbn::normalise_by_mixture_backward",
    mutates_args=(),
    schema="(Tensor gradient, Tensor x, Tensor table, Tensor? scale, Tensor? weight, float eps,"
    " bool from_batch, bool tables_too) -> (Tensor, Tensor, Tensor, Tensor)",
)
def backward_operator(*inputs: Any) -> tuple[Tensor, ...]:
    """The backward operator for torch.compile."""
    return _backward(*inputs)


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
