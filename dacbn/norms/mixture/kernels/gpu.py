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
    GRADIENT_ROWS,
    TABLE_ROWS,
    Affine,
    Components,
    Gate,
    Options,
    Saved,
)
from dacbn.norms.mixture.kernels import gpu_backward as backward
from dacbn.norms.mixture.kernels import gpu_forward as forward
from dacbn.norms.mixture.kernels.cpu import with_layout_of
from dacbn.norms.mixture.moments import PSEUDO_COUNT

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
    clusters, channels = gate.mean.shape
    layout = lay_out(x, clusters)
    table, y = _floats(x, TABLE_ROWS, clusters, channels), torch.empty_like(x)
    of_gate = [_dense(tensor) for tensor in gate]
    mean, var, *factors = [_dense(tensor) for tensor in (*components, *affine)]
    partial = None
    with torch.cuda.device_of(x):  # type: ignore[no-untyped-call]
        if options.from_batch:
            partial = _floats(x, 4, clusters, layout.stretches, channels)
            _over_values(forward.sum_moments, layout, clusters, x, partial, *of_gate)
        _over_tables(
            forward.find_moments, layout, clusters,
            partial, table, *of_gate, mean, var, layout.sizes[0], PSEUDO_COUNT,
        )  # fmt: skip
        _over_values(forward.mix, layout, clusters, x, y, table, *factors, options.eps)
    return y, table


def triton_backward(
    gradient: Tensor, saved: Saved, options: Options, tables_too: bool
) -> tuple[Tensor, ...]:
    """Compute `by_channel.chunked_backward` in float32, for x of any type."""
    x, table, scale, weight = saved
    _, clusters, channels = table.shape
    layout, dx, gradient = lay_out(x, clusters), torch.empty_like(x), with_layout_of(x, gradient)
    gradients = _floats(x, GRADIENT_ROWS, clusters, channels) if tables_too else None
    constants = _floats(x, 4, clusters, channels)
    d_affine = _floats(x, channels), _floats(x, channels)
    partial = _floats(x, 3, clusters, layout.stretches, channels)
    factors = _dense(scale), _dense(weight)
    with torch.cuda.device_of(x):  # type: ignore[no-untyped-call]
        _over_values(backward.sum_gradients, layout, clusters, x, gradient, partial, table)
        _over_tables(
            backward.pass_through_moments, layout, clusters,
            partial, table, *factors, constants, gradients, *d_affine, options.eps,
            layout.sizes[0], PSEUDO_COUNT, from_batch=options.from_batch,
        )  # fmt: skip
        _over_values(
            backward.mix_gradients, layout, clusters,
            x, gradient, dx, table, constants, partial if tables_too else None,
        )  # fmt: skip
        if tables_too:
            _over_tables(backward.find_gate_gradients, layout, clusters, partial, table, gradients)
    of_tables = _floats(x, 0, clusters, channels) if gradients is None else gradients
    return dx, of_tables, *d_affine


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
