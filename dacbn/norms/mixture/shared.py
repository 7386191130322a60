"""Mixtures per channel of a batch that processes share: local passes, and exchanges between them.

A forward pass finds the moments of this process's values, merges them with those of the others and
normalises by the result; a backward pass does the same with gradients of the moments. One exchange
each, of a few numbers per component and channel.
"""

import torch
from torch import Tensor

from dacbn.norms.mixture.arguments import (
    D_MEAN,
    D_VAR,
    DRAG,
    GATE_MEAN,
    MEAN,
    OFFSET,
    SHARE,
    VAR,
    Affine,
    Components,
    Gate,
    Options,
    Saved,
)
from dacbn.norms.mixture.by_channel_backward import by_batch
from dacbn.norms.mixture.kernels.choose import Kernels
from dacbn.norms.mixture.moments import PSEUDO_COUNT, pool, shares, to_float64
from dacbn.processes.sums import add_up_going_back


def shared_forward(
    kernels: Kernels,
    x: Tensor,
    gate: Gate,
    components: Components,
    affine: Affine,
    options: Options,
) -> tuple[Tensor, Tensor]:
    """Compute `by_channel.chunked_forward` by the moments of all processes."""
    table = kernels.moments(x, gate, components)
    share, away, var = to_float64(table[[SHARE, OFFSET, VAR]])
    mass = share * _values_in(x)
    sums, squares = mass * away, mass * (var + away.square())
    before = to_float64(components.mean) - table[GATE_MEAN]
    mass, offset, var = pool(mass, sums, squares, before, components.var)
    drag = -2 * PSEUDO_COUNT * (offset - before) / (mass + PSEUDO_COUNT)
    table[SHARE], table[MEAN], table[VAR] = shares(mass), table[GATE_MEAN] + offset, var
    table[OFFSET], table[DRAG] = offset, drag
    return kernels.mix(x, table, components.scale, affine, options.eps), table


def shared_backward(
    kernels: Kernels, gradient: Tensor, saved: Saved, options: Options, tables_too: bool
) -> tuple[Tensor, ...]:
    """Compute `by_channel_backward.chunked_backward` by the moments of all processes."""
    gradients, d_weight, d_bias = kernels.sums(gradient, saved, options.eps)
    own = to_float64(gradients[[D_MEAN, D_VAR]]).flatten()
    summed = add_up_going_back(torch.cat([own, own.new_full((1,), _values_in(saved.x))]))
    d_mean, d_var = summed[:-1].view(2, *gradients.shape[1:])
    mass = saved.table[SHARE] * summed[-1] + PSEUDO_COUNT
    by_moments = by_batch(d_mean, d_var, saved.table[DRAG], mass)
    gradients[D_MEAN], gradients[D_VAR] = by_moments
    dx = kernels.spread(gradient, saved, options.eps, gradients, tables_too)
    return dx, gradients if tables_too else gradients[:0], d_weight, d_bias


def _values_in(x: Tensor) -> int:
    """Return the number of values per channel of x (N, C, *)."""
    return x.numel() // x.shape[1]
