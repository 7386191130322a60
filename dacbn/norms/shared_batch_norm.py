"""torch's batch normalisation, by the moments of a batch whose rows are on several processes.

Forward and backward exchange one small table each: the moments of each process, which merge, and
the sums of the gradient, with and without the standardised values. What is as large as the
activations is computed by torch's kernels.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributed import ProcessGroup

from dacbn.norms.mixture.routes import HALF
from dacbn.processes import current, is_shared, merge_moments
from dacbn.processes.sums import add_up_going_back, summed


def batch_norm(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
) -> Tensor:
    """Normalise x, (N, C) or (N, C, *), as `torch.nn.functional.batch_norm` does.

    In training the moments, also those that move the running ones, are those of the rows of all
    processes, where the batch is shared. The tables (C,) of x in half precision may be in float32.
    """
    share = current()
    if not training or share is None or not is_shared():
        return F.batch_norm(x, running_mean, running_var, weight, bias, training, momentum, eps)
    weight, bias = (
        table.float() if table is not None and table.dtype in HALF else table
        for table in (weight, bias)
    )
    y: Tensor
    y, count, mean, var = _SharedBatchNorm.apply(x, weight, bias, eps, share.statistics)
    with torch.no_grad():
        unbiased = var * (count / (count - 1)).to(var)
        for running, newest in ((running_mean, mean), (running_var, unbiased)):
            if running is not None:
                running.lerp_(newest.to(running), momentum)
    return y


def formula(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, group: ProcessGroup
) -> Tensor:
    """Compute the same in training by operations with derivatives of any order."""
    wide = x.float() if x.dtype in HALF else x
    form = (1, -1, *[1] * (x.ndim - 2))
    dims = [0, *range(2, x.ndim)]
    own = x.new_full((1,), x.numel() // x.shape[1], dtype=wide.dtype)
    flat = summed(torch.cat([own, wide.sum(dims)]), group)
    count, mean = flat[0], flat[1:] / flat[0]
    offset = wide - mean.view(form)
    var = summed(offset.square().sum(dims), group) / count
    y = offset * (var + eps).rsqrt().view(form)
    if weight is not None:
        y = y * weight.view(form)
    if bias is not None:
        y = y + bias.view(form)
    return y.to(x.dtype)


class _SharedBatchNorm(torch.autograd.Function):
    """The normalised rows of this process; count, mean and biased variance of all processes."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        eps: float,
        group: ProcessGroup,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        mean, var = _own_moments(x)
        # in float64, which counts on where float32 does not
        count = mean.new_full((1,), x.numel() // x.shape[1], dtype=torch.float64)
        count, mean, var = merge_moments(count, mean, var)
        ctx.save_for_backward(x, weight, bias, count, mean, var)
        ctx.eps, ctx.group = eps, group
        ctx.mark_non_differentiable(count, mean, var)
        y = F.batch_norm(x, mean, var, weight, bias, False, 0.0, eps) if x.numel() else x.clone()
        return y, count, mean, var

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias, count, mean, var = ctx.saved_tensors
        if torch.is_grad_enabled():  # somebody wants a gradient of the gradient
            return *_by_formula(ctx, x, weight, bias, gradient), None, None
        of_weight, of_bias = _own_sums(gradient, x, weight, mean, var, ctx.eps)
        of_x = None
        if ctx.needs_input_grad[0]:
            sums = add_up_going_back(torch.stack([of_weight, of_bias]))
            along, shift = (sums / count).to(var)
            inverse = (var + ctx.eps).rsqrt()
            slope = inverse if weight is None else weight * inverse
            of_x = _gradient_of_input(gradient, x, (mean, var), ctx.eps, slope, along, shift)
        return (
            of_x,
            of_weight if ctx.needs_input_grad[1] else None,
            of_bias if ctx.needs_input_grad[2] else None,
            None,
            None,
        )


def _own_moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Compute mean and biased variance (C,) of the rows of this process, in float32 at least."""
    wide = torch.float32 if x.dtype in HALF else x.dtype
    table = x.new_zeros(x.shape[1], dtype=wide)
    if not x.numel():
        return table, table
    mean, var = torch.batch_norm_update_stats(x, table, table.clone(), 0.0)
    return mean, var


def _own_sums(
    gradient: Tensor, x: Tensor, weight: Tensor | None, mean: Tensor, var: Tensor, eps: float
) -> tuple[Tensor, Tensor]:
    """Add up the gradient times the standardised values, and the gradient: (C,) each."""
    if not x.numel():
        return torch.zeros_like(mean), torch.zeros_like(mean)
    kernel = torch.ops.aten.native_batch_norm_backward
    wanted = [False, True, True]
    found = kernel(gradient, x, weight, mean, var, None, None, False, eps, wanted)
    return found[1], found[2]


def _gradient_of_input(
    gradient: Tensor,
    x: Tensor,
    moments: tuple[Tensor, Tensor],
    eps: float,
    slope: Tensor,
    along: Tensor,
    shift: Tensor,
) -> Tensor:
    """Compute slope (gradient - shift - along · standardised x); the tables are (C,)."""
    if not x.numel():
        return torch.zeros_like(x)
    dtype, form = x.dtype, (1, -1, *[1] * (x.ndim - 2))
    if dtype in HALF:  # the parts nearly cancel
        gradient, x = gradient.float(), x.float()
    rest = F.batch_norm(x, *moments, -slope * along, -slope * shift, False, 0.0, eps)
    return rest.addcmul_(gradient, slope.view(form)).to(dtype)


def _by_formula(
    ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, gradient: Tensor
) -> list[Tensor | None]:
    """Compute the gradients of x, weight and bias so that they have gradients themselves."""
    y = formula(x, weight, bias, ctx.eps, ctx.group)
    inputs = dict(enumerate((x, weight, bias)))
    wanted = {i: each for i, each in inputs.items() if each is not None and ctx.needs_input_grad[i]}
    found = torch.autograd.grad(y, [*wanted.values()], gradient, create_graph=True)
    gradients = dict(zip(wanted, found, strict=True))
    return [gradients.get(i) for i in inputs]
