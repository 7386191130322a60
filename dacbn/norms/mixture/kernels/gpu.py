"""Normalisation by a mixture per channel on a GPU: calls the Triton kernels with torch's tensors.

A forward pass reads the activations twice and writes the output, a backward pass reads activations
and gradients twice and writes the gradient: as much memory traffic as BatchNorm, in the type of
the activations. Triton is installed with CUDA builds of torch; import this module only there.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from triton import cdiv, next_power_of_2

from dacbn.norms.mixture.arguments import (
    D_MEAN,
    D_VAR,
    GRADIENT_ROWS,
    TABLE_ROWS,
    VAR,
    Affine,
    Components,
    Gate,
    Options,
    Saved,
)
from dacbn.norms.mixture.kernels import gpu_backward as backward
from dacbn.norms.mixture.kernels import gpu_forward as forward
from dacbn.norms.mixture.kernels.cpu import with_layout_of
from dacbn.norms.mixture.moments import PSEUDO_COUNT, VANISHING_COUNT

# Programs that fill a large GPU. The number is fixed, so that the order of sums and hence the
# results do not depend on the GPU.
PROGRAMS, MAX_STRETCHES = 2048, 256
# Channels of a program whose channels are contiguous, and of one that works on tables.
CHANNELS_LAST_BLOCK, TABLE_BLOCK = 32, 8
# Groups of 32 threads that share a tile.
WARPS = 4


class Layout(NamedTuple):
    """Memory layout of the activations and how they are split over programs.

    Attributes:
        sizes: number of values in a channel, in a stretch and in a contiguous run of positions;
            strides from sample to sample and from channel to channel; number of channels.
        stretches: number of parts into which the values of a channel are split.
        rows: values of a channel in a tile, a power of two.
        block: channels in a tile, a power of two.
    """

    sizes: tuple[int, int, int, int, int, int]
    stretches: int
    rows: int
    block: int


def lay_out(x: Tensor, clusters: int) -> Layout:
    """Split x (N, C, *), whose positions or channels are contiguous, over programs."""
    samples, channels = x.shape[:2]
    positions = x.numel() // (samples * channels)
    count, steps, block = samples * positions, (positions, channels * positions, positions), 1
    size = _tile_size(clusters)
    if positions == 1 or not x.is_contiguous():
        steps, block = (1, channels, 1), min(CHANNELS_LAST_BLOCK, next_power_of_2(channels))
        size //= 2  # a thread keeps the constants of several channels
    rows = min(size // block, next_power_of_2(count))
    stretches = min(MAX_STRETCHES, max(1, PROGRAMS // cdiv(channels, block)))
    length = cdiv(cdiv(count, rows), stretches) * rows
    return Layout((count, length, *steps, channels), cdiv(count, length), rows, block)


def triton_forward(
    x: Tensor, gate: Gate, components: Components, affine: Affine, options: Options
) -> tuple[Tensor, Tensor]:
    """Compute `by_channel.chunked_forward` in float32, for x of any type."""
    table = _moments(x, gate, components, options.from_batch, PSEUDO_COUNT)
    return triton_mix(x, table, components.scale, affine, options.eps), table


def triton_moments(x: Tensor, gate: Gate, components: Components) -> Tensor:
    """Compute `by_channel.chunked_moments` in float32, for x of any type."""
    return _moments(x, gate, components, True, VANISHING_COUNT)


def triton_mix(
    x: Tensor, table: Tensor, scale: Tensor | None, affine: Affine, eps: float
) -> Tensor:
    """Compute `by_channel.chunked_mix` in float32, for x of any type."""
    y, clusters = torch.empty_like(x), table.shape[1]
    factors = [_dense(tensor) for tensor in (scale, *affine)]
    with torch.cuda.device_of(x):  # type: ignore[no-untyped-call]
        _over_values(forward.mix, lay_out(x, clusters), clusters, x, y, table, *factors, eps)
    return y


def triton_backward(
    gradient: Tensor, saved: Saved, options: Options, tables_too: bool
) -> tuple[Tensor, ...]:
    """Compute `by_channel_backward.chunked_backward` in float32, for x of any type."""
    x, (_, clusters, channels) = saved.x, saved.table.shape
    gradients = _floats(x, GRADIENT_ROWS, clusters, channels) if tables_too else None
    gradient = with_layout_of(x, gradient)
    constants, *d_affine = _sums(gradient, saved, options, gradients)
    dx = _spread(gradient, saved, constants, gradients)
    of_tables = _floats(x, 0, clusters, channels) if gradients is None else gradients
    return dx, of_tables, *d_affine


def triton_sums(gradient: Tensor, saved: Saved, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """Compute `by_channel_backward.chunked_sums` in float32, for x of any type."""
    x = saved.x
    gradients = _floats(x, GRADIENT_ROWS, *saved.table.shape[1:])
    options = Options(eps, from_batch=False)
    _, d_weight, d_bias = _sums(with_layout_of(x, gradient), saved, options, gradients)
    return gradients, d_weight, d_bias


def triton_spread(
    gradient: Tensor, saved: Saved, eps: float, gradients: Tensor, tables_too: bool
) -> Tensor:
    """Compute `by_channel_backward.chunked_spread` in float32, for x of any type."""
    x, table, scale, weight = saved
    slope = (table[VAR] + eps).rsqrt()
    for factor in (scale, weight):
        slope = slope if factor is None else slope * factor
    by_mean, by_var = gradients[D_MEAN], gradients[D_VAR]
    constants = torch.stack([slope, by_mean, by_var, by_var * table[VAR]])
    gradient = with_layout_of(x, gradient)
    return _spread(gradient, saved, constants, gradients if tables_too else None)


# In the order of `choose.Kernels`.
FUNCTIONS = (
    triton_forward,
    triton_backward,
    triton_moments,
    triton_mix,
    triton_sums,
    triton_spread,
)


def _moments(
    x: Tensor, gate: Gate, components: Components, from_batch: bool, pseudo_count: float
) -> Tensor:
    """Fill a table, by the batch's moments or the components'."""
    clusters, channels = gate.mean.shape
    layout, table = lay_out(x, clusters), _floats(x, TABLE_ROWS, clusters, channels)
    of_gate = [_dense(tensor) for tensor in gate]
    mean, var = _dense(components.mean), _dense(components.var)
    partial = None
    with torch.cuda.device_of(x):  # type: ignore[no-untyped-call]
        if from_batch:
            partial = _floats(x, 4, clusters, layout.stretches, channels)
            _over_values(forward.sum_moments, layout, clusters, x, partial, *of_gate)
        _over_tables(
            forward.find_moments, layout, clusters,
            partial, table, *of_gate, mean, var, layout.sizes[0], pseudo_count,
        )  # fmt: skip
    return table


def _sums(
    gradient: Tensor, saved: Saved, options: Options, gradients: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the constants for the gradient of x, and the gradients of weight and bias."""
    x, table, scale, weight = saved
    clusters, channels = table.shape[1:]
    layout, factors = lay_out(x, clusters), (_dense(scale), _dense(weight))
    constants = _floats(x, 4, clusters, channels)
    d_affine = _floats(x, channels), _floats(x, channels)
    partial = _floats(x, 2, clusters, layout.stretches, channels)
    with torch.cuda.device_of(x):  # type: ignore[no-untyped-call]
        _over_values(backward.sum_gradients, layout, clusters, x, gradient, partial, table)
        _over_tables(
            backward.pass_through_moments, layout, clusters,
            partial, table, *factors, constants, gradients, *d_affine, options.eps,
            layout.sizes[0], PSEUDO_COUNT, from_batch=options.from_batch,
        )  # fmt: skip
    return constants, *d_affine


def _spread(gradient: Tensor, saved: Saved, constants: Tensor, gradients: Tensor | None) -> Tensor:
    """Return the gradient of x, and fill in those of the gate, where they are wanted."""
    x, table, *_ = saved
    clusters, channels = table.shape[1:]
    layout, dx = lay_out(x, clusters), torch.empty_like(x)
    partial = None
    if gradients is not None:
        partial = _floats(x, 3, clusters, layout.stretches, channels)
    with torch.cuda.device_of(x):  # type: ignore[no-untyped-call]
        _over_values(
            backward.mix_gradients, layout, clusters, x, gradient, dx, table, constants, partial
        )
        if gradients is not None:
            _over_tables(backward.find_gate_gradients, layout, clusters, partial, table, gradients)
    return dx


def _tile_size(clusters: int) -> int:
    """Choose the number of values in a tile, so that the tile stays in registers."""
    return 1024 if clusters <= 4 else 512 if clusters <= 8 else 256


def _over_values(kernel: Any, layout: Layout, clusters: int, *arguments: Any) -> None:
    grid = (cdiv(layout.sizes[-1], layout.block), layout.stretches)
    kernel[grid](
        *arguments, *layout.sizes, clusters=clusters, rows=layout.rows, block=layout.block,
        num_warps=WARPS, enable_fp_fusion=True,
    )  # fmt: skip


def _over_tables(
    kernel: Any, layout: Layout, clusters: int, *arguments: Any, **constants: Any
) -> None:
    channels = layout.sizes[-1]
    kernel[(cdiv(channels, TABLE_BLOCK),)](
        *arguments, layout.stretches, channels, **constants,
        clusters=clusters, rows=next_power_of_2(layout.stretches), block=TABLE_BLOCK,
        num_warps=WARPS, enable_fp_fusion=True,
    )  # fmt: skip


def _floats(x: Tensor, *shape: int) -> Tensor:
    return x.new_empty(shape, dtype=torch.float32)


def _dense(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.float().contiguous()
