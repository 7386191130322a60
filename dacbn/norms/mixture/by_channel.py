"""Normalisation by a mixture per channel in torch, a few channels at a time.

Autograd would keep a dozen tensors K times as large as the activations. Here a backward pass keeps
the activations and one small table, and recomputes the responsibilities; temporary tensors hold
only as many channels as fit in the cache. The gradients are in `by_channel_backward`.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from dacbn.norms.mixture.arguments import (
    DRAG,
    GATE_MEAN,
    GATE_VAR,
    LOG_PRIOR,
    MEAN,
    OFFSET,
    SHARE,
    TABLE_ROWS,
    VAR,
    Affine,
    Components,
    Gate,
    Options,
)
from dacbn.norms.mixture.moments import (
    PSEUDO_COUNT,
    VANISHING_COUNT,
    mix,
    own_moments,
    per_component,
    responsibilities,
)

# Bytes of one tensor of K components: the cache of a CPU, and enough work for a GPU.
CPU_CHUNK, GPU_CHUNK = 1 << 20, 1 << 26


def chunked_forward(
    x: Tensor, gate: Gate, components: Components, affine: Affine, options: Options
) -> tuple[Tensor, Tensor]:
    """Normalise x by a mixture, then scale and shift it.

    Args:
        x: (N, C, *), in the tables' type or half precision; computed in the tables' type.
        gate: the mixture that assigns, (K, C) each.
        components: the moments that standardise, (K, C) each.
        affine: the map that follows.
        options: eps, and whether the batch's moments standardise.

    Returns:
        the output, and the table (TABLE_ROWS, K, C) for `chunked_backward`.
    """
    y, table = torch.empty_like(x), _table_of(gate, components)
    x, out = positions_last(x), positions_last(y)
    rest = components.scale, *affine
    for part in chunks(x, len(gate.mean)):
        some, row = x[:, part].to(table.dtype), table[:, :, part]
        r = assigned(some, row)
        if options.from_batch:
            before = components.mean[:, part], components.var[:, part]
            row[SHARE], row[MEAN], row[VAR] = own_moments(some, r, *before, PSEUDO_COUNT)
            mass = row[SHARE] * (x.shape[0] * x.shape[2]) + PSEUDO_COUNT
            row[DRAG] = -2 * PSEUDO_COUNT * (row[MEAN] - before[0]) / mass
        out[:, part] = _mixed(some, part, r, row, rest, options.eps)
    table[OFFSET] = table[MEAN] - table[GATE_MEAN]
    return copied_back(y, out), table


def chunked_moments(x: Tensor, gate: Gate, components: Components) -> Tensor:
    """Compute the table of `chunked_forward`, with the moments of x alone."""
    table = _table_of(gate, components)
    x = positions_last(x)
    for part in chunks(x, len(gate.mean)) if x.numel() > 0 else ():
        some, row = x[:, part].to(table.dtype), table[:, :, part]
        r = assigned(some, row)
        found = own_moments(some, r, row[MEAN], row[VAR], VANISHING_COUNT)
        row[SHARE], row[MEAN], row[VAR] = found
    table[OFFSET] = table[MEAN] - table[GATE_MEAN]
    return table


def chunked_mix(
    x: Tensor, table: Tensor, scale: Tensor | None, affine: Affine, eps: float
) -> Tensor:
    """Compute the output of `chunked_forward`, by the moments in the table."""
    y = torch.empty_like(x)
    x, out = positions_last(x), positions_last(y)
    for part in chunks(x, table.shape[1]):
        some, row = x[:, part].to(table.dtype), table[:, :, part]
        out[:, part] = _mixed(some, part, assigned(some, row), row, (scale, *affine), eps)
    return copied_back(y, out)


def _mixed(
    x: Tensor, part: slice, r: Tensor, row: Tensor, rest: tuple[Tensor | None, ...], eps: float
) -> Tensor:
    """Mix a part of the channels, by the scale, the weight and the bias in `rest`."""
    scale, weight, bias = rest
    if scale is not None:
        r = r * per_component(scale[:, part])
    mixed = mix(x, r, row[MEAN], row[VAR] + eps)
    if weight is not None and bias is not None:
        mixed = torch.addcmul(bias[part, None], mixed, weight[part, None])
    return mixed


def _table_of(gate: Gate, components: Components) -> Tensor:
    """Return a table with gate and components."""
    table = gate.mean.new_zeros(TABLE_ROWS, *gate.mean.shape)
    table[LOG_PRIOR], table[GATE_MEAN], table[GATE_VAR] = gate
    table[MEAN], table[VAR] = components.mean, components.var
    return table


def assigned(x: Tensor, row: Tensor) -> Tensor:
    """Compute the responsibilities of x (N, C, L) by the gate in a table."""
    return responsibilities(x, row[LOG_PRIOR], row[GATE_MEAN], row[GATE_VAR], "channel")


def positions_last(x: Tensor) -> Tensor:
    """Reshape (N, C, *) to contiguous (N, C, L), so that a few channels are close in memory."""
    return (x.unsqueeze(-1) if x.ndim == 2 else x.flatten(2)).contiguous()


def copied_back(y: Tensor, out: Tensor) -> Tensor:
    """Copy the result back into y if it was computed in a temporary buffer `out` (N, C, L)."""
    return y if y.is_contiguous() else y.copy_(out.reshape(y.shape))


def chunks(x: Tensor, num_clusters: int) -> Iterator[slice]:
    """Split the channels of x (N, C, L) so that K copies of a part stay in the cache."""
    limit = CPU_CHUNK if x.device.type == "cpu" else GPU_CHUNK
    channels, bytes_each = x.shape[1], max(4, x.element_size())  # at least float32
    bytes_of_one = x.shape[0] * x.shape[2] * num_clusters * bytes_each
    step = max(1, limit // max(1, bytes_of_one))
    return (slice(start, start + step) for start in range(0, channels, step))
