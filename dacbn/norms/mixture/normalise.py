"""Normalisation by a Gaussian mixture, the fastest way that a tensor's place and type allow.

Mixtures per channel have compiled code where `kernels` finds some, and hand-written
gradients everywhere else; all compute what `moments` says, to rounding, and none keeps a tensor K
times as large as the activations. They are differentiable once. To torch.compile they are one
operator on a CPU and on a GPU. Mixtures of samples need only each sample's moments
(`by_sample`). Mixtures of positions go through `moments` itself, as does what torch.compile
fuses on other devices.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from dacbn.norms.mixture.by_channel import (
    GRADIENT_ROWS,
    SHARE,
    TABLE_ROWS,
    VAR,
)
from dacbn.norms.mixture.by_position import (
    as_one_sample,
    mix_positions,
    pool_positions,
    position_log_joint,
    shape_back,
)
from dacbn.norms.mixture.by_sample import (
    mix_samples,
    pool_samples,
    sample_log_joint,
    sample_moments,
)
from dacbn.norms.mixture.kernels.choose import kernels_for
from dacbn.norms.mixture.moments import (
    Assign,
    mix,
    per_component,
    responsibilities,
    weighted_moments,
)

# Types of activations that kernels for a GPU read and write as they are.
HALF = (torch.float16, torch.bfloat16)


class Gate(NamedTuple):
    """The mixture that assigns values to components: log prior (K, C or 1), mean and var (K, C)."""

    log_prior: Tensor
    mean: Tensor
    var: Tensor


def normalise_by_mixture(
    x: Tensor,
    gate: Gate,
    mean: Tensor,
    var: Tensor,
    eps: float,
    from_batch: bool,
    assign: Assign = "channel",
    scale: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Standardise x by every component, average by responsibility, then scale and shift.

    Args:
        x: (N, C, *); half precision is computed with in float32.
        gate: what assigns; its variances are used as they are.
        mean: of the components that standardise, (K, C).
        var: of the components that standardise, (K, C).
        eps: added to `var`.
        from_batch: standardise by the moments of x instead, weighted by responsibility, which
            start from a vanishing mass of `mean` and `var`; these two are constants then.
        assign: what is assigned to components, see `moments.log_joint`.
        scale: of each component's term, (K, C or 1).
        weight: of each channel, (C,).
        bias: of each channel, (C,).

    Returns:
        the output, like x, and, without gradients, each component's share of x, mean and biased
        variance, (K, C) each, share perhaps (K, 1); these say nothing without `from_batch`.
    """
    if x.dtype in HALF and not (x.is_cuda and assign == "channel" and x.numel() > 0):
        tables = (mean, var, eps, from_batch, assign, scale, weight, bias)
        y, share, mean, var = normalise_by_mixture(x.float(), gate, *tables)
        return y.to(x.dtype), share, mean, var
    compiling = torch.compiler.is_compiling()
    fused_by_compiler = compiling and x.device.type not in ("cpu", "cuda")
    if assign == "sample" and x.numel() > 0:
        return _by_samples(x, gate, mean, var, eps, from_batch, scale, weight, bias)
    if assign == "position":
        return _by_positions(x, gate, mean, var, eps, from_batch, scale, weight, bias)
    if assign != "channel" or x.numel() == 0 or fused_by_compiler:
        return _by_moments(x, gate, mean, var, eps, from_batch, assign, scale, weight, bias)
    if not (x.is_contiguous() or x.movedim(1, -1).is_contiguous()):
        x = x.contiguous()
    tensors: tuple[Tensor | None, ...] = (x, *gate, mean, var, scale, weight, bias)
    if x.dtype != mean.dtype and x.dtype not in HALF:
        dtype = torch.promote_types(x.dtype, mean.dtype)
        tensors = tuple(None if tensor is None else tensor.to(dtype) for tensor in tensors)
    if compiling:
        y, table = forward_operator(*tensors, eps, from_batch)
        table = table.detach()
    else:
        y, table = _Eager.apply(*tensors, eps, from_batch)
    return y, *table[SHARE : VAR + 1].unbind()


def _by_samples(
    x: Tensor,
    gate: Gate,
    mean: Tensor,
    var: Tensor,
    eps: float,
    from_batch: bool,
    scale: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    flat = x.unsqueeze(-1) if x.ndim == 2 else x.flatten(2)
    moments = sample_moments(flat)
    weights = share = sample_log_joint(*moments, *gate).softmax(0)
    if from_batch:
        share, mean, var = pool_samples(*moments, flat.shape[2], weights, mean, var)
    terms = weights if scale is None else weights * scale
    y = mix_samples(flat, terms, mean, var + eps, weight, bias)
    return y.reshape(x.shape), share.detach(), mean.detach(), var.detach()


def _by_positions(
    x: Tensor,
    gate: Gate,
    mean: Tensor,
    var: Tensor,
    eps: float,
    from_batch: bool,
    scale: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    samples = x.unsqueeze(-1) if x.ndim == 2 else x.flatten(2)
    flat = as_one_sample(samples)
    r = position_log_joint(flat, *gate).softmax(1)
    share = r.mean((0, 2))[:, None]
    if from_batch:
        share, mean, var = pool_positions(flat, r, mean, var)
    y = mix_positions(flat, r, mean, var + eps, scale, weight, bias)
    y = shape_back(y, samples).reshape(x.shape)
    return y, share.detach(), mean.detach(), var.detach()


def _by_moments(
    x: Tensor,
    gate: Gate,
    mean: Tensor,
    var: Tensor,
    eps: float,
    from_batch: bool,
    assign: Assign,
    scale: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    flat = x.unsqueeze(-1) if x.ndim == 2 else x.flatten(2)
    weights = share = responsibilities(flat, *gate, assign)
    if from_batch:
        share, mean, var = weighted_moments(flat, weights, mean, var)
    terms = weights if scale is None else weights * per_component(scale)
    y = mix(flat, terms, mean, var + eps)
    if weight is not None and bias is not None:
        y = torch.addcmul(bias[:, None], y, weight[:, None])
    return y.reshape(x.shape), share.detach(), mean.detach(), var.detach()


def _forward(x: Tensor, log_prior: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    return kernels_for(x, len(log_prior)).forward(x, log_prior, *rest)


def _backward(gradient: Tensor, x: Tensor, table: Tensor, *rest: Any) -> tuple[Tensor, ...]:
    return kernels_for(x, table.shape[1]).backward(gradient, x, table, *rest)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    x, *_, scale, weight, _bias, eps, from_batch = inputs
    ctx.eps, ctx.from_batch = eps, from_batch
    ctx.save_for_backward(x, output[1], scale, weight)


def _gradients(ctx: Any, gradient: Tensor | None, backward: Any) -> tuple[Tensor | None, ...]:
    """Give each input of forward its gradient; those of the tables only where one is wanted."""
    wanted = ctx.needs_input_grad
    if gradient is None:
        return (None,) * len(wanted)
    dx, tables, d_weight, d_bias = backward(
        gradient, *ctx.saved_tensors, ctx.eps, ctx.from_batch, any(wanted[1:7])
    )
    of_tables = tables.unbind() if any(wanted[1:7]) else (None,) * GRADIENT_ROWS
    gradients = (dx, *of_tables, d_weight, d_bias, None, None)
    return tuple(each if want else None for each, want in zip(gradients, wanted, strict=True))


class _Eager(torch.autograd.Function):
    """The operator without the dispatcher, which on small activations would take longest."""

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
    """What torch.compile sees of forward."""
    return _forward(*inputs)


@torch.library.custom_op(
    "dacbn::normalise_by_mixture_backward",
    mutates_args=(),
    schema="(Tensor gradient, Tensor x, Tensor table, Tensor? scale, Tensor? weight, float eps,"
    " bool from_batch, bool tables_too) -> (Tensor, Tensor, Tensor, Tensor)",
)
def backward_operator(*inputs: Any) -> tuple[Tensor, ...]:
    """What torch.compile sees of backward."""
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
