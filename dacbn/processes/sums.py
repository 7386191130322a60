"""Sums over the processes that share a batch, with gradients.

Sums of squares are added up in float64, where they do not cancel.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from dacbn.processes.membership import current
from dacbn.processes.share import is_shared


def total(*values: Tensor) -> list[Tensor]:
    """Add up each of several tensors over the processes, in one exchange.

    Of a batch that is not shared they are returned as they are. The gradient of a sum is the sum of
    the gradients of all processes.
    """
    share = current()
    if share is None or not is_shared():
        return list(values)
    wide = values[0].dtype
    for each in values[1:]:
        wide = torch.promote_types(wide, each.dtype)
    flat = torch.cat([each.reshape(-1).to(wide) for each in values])
    parts = _Total.apply(flat, share.statistics).split([each.numel() for each in values])
    return [
        part.reshape(each.shape).to(each.dtype) for part, each in zip(parts, values, strict=True)
    ]


def merge_moments(count: Tensor, mean: Tensor, var: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Merge the moments of the rows of each process to those of the whole batch, in one exchange.

    Args:
        count: values behind each mean, or their weights; it broadcasts against `mean`.
        mean: their means, finite also where there is no value.
        var: their biased variances, of the shape of `mean`.

    Returns:
        count, mean and biased variance of all; a mean of no values is 0, as is its variance.
    """
    if not is_shared():
        return count, mean, var
    wide = torch.promote_types(
        mean.dtype, torch.float64 if mean.device.type != "mps" else mean.dtype
    )
    mass, centre = count.to(wide), mean.to(wide)
    sums = mass * centre
    squares = mass * (var.to(wide) + centre.square())
    mass, sums, squares = total(mass, sums, squares)
    some = mass.where(mass > 0, 1)
    merged = sums / some
    spread = (squares / some - merged.square()).clamp_min(0)
    return mass.to(count.dtype), merged.to(mean.dtype), spread.to(var.dtype)


def add_up_going_back(values: Tensor) -> Tensor:
    """Return the sum over processes in the backward pass of a batch that is shared."""
    share = current()
    return values if share is None else _sum(values, share.statistics)


def _sum(values: Tensor, group: dist.ProcessGroup) -> Tensor:
    # a copy: the exchange writes into it, and reads memory in a row, which a view may not be
    copy = values.detach().clone(memory_format=torch.contiguous_format)
    dist.all_reduce(copy, group=group)
    return copy


class _Total(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, group: dist.ProcessGroup) -> Tensor:
        ctx.group = group
        return _sum(values, group)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _Total.apply(gradient, ctx.group), None


def summed(values: Tensor, group: dist.ProcessGroup) -> Tensor:
    """Return the sum over the processes of a group, with gradients, also in a backward pass."""
    result: Tensor = _Total.apply(values, group)
    return result
