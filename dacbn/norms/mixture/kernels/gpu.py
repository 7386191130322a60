"""Normalisation by a mixture per channel on a GPU: runs the Triton kernels, for torch.

A forward pass reads the activations twice and writes the output, a backward pass reads activations
and gradients twice and writes the gradient: what BatchNorm moves, in the activations' own type.
Triton comes with torch where there is CUDA; import this module only there.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from triton import cdiv, next_power_of_2

from dacbn.norms.mixture.by_channel import GRADIENT_ROWS, TABLE_ROWS
from dacbn.norms.mixture.kernels import gpu_backward as backward
from dacbn.norms.mixture.kernels import gpu_forward as forward
from dacbn.norms.mixture.kernels.cpu import lay_out_like
from dacbn.norms.mixture.moments import PSEUDO_COUNT

# Programs that fill a large GPU, whatever GPU it is: the order of a sum never depends on that.
PROGRAMS, MOST_STRETCHES = 2048, 256
# Channels of a program where they lie side by side, and of one that works on tables.
SIDE_BY_SIDE, OF_TABLES = 32, 8
# Threads that share a tile, in groups of 32.
WARPS = 4


class Layout(NamedTuple):
    """How activations lie, and how they are shared out.

    Args:
        sizes: values of a channel, of a stretch and of a run of positions; steps from sample to
            sample and from channel to channel; channels.
        stretches: into which the values of a channel are parted.
        rows: values of a channel in a tile, a power of two.
        block: channels in a tile, a power of two.
    """

    sizes: tuple[int, int, int, int, int, int]
    stretches: int
    rows: int
    block: int


def lay_out(x: Tensor, clusters: int) -> Layout:
    """Share x (N, C, *) out, whose positions or channels lie side by side."""
    samples, channels = x.shape[:2]
    positions = x.numel() // (samples * channels)
    count, steps, block = samples * positions, (positions, channels * positions, positions), 1
    size = _tile_size(clusters)
    if positions == 1 or not x.is_contiguous():
        steps, block = (1, channels, 1), min(SIDE_BY_SIDE, next_power_of_2(channels))
        size //= 2  # a thread keeps the constants of several channels
    rows = min(size // block, next_power_of_2(count))
    wanted = min(MOST_STRETCHES, max(1, PROGRAMS // cdiv(channels, block)))
    length = cdiv(cdiv(count, rows), wanted) * rows
    return Layout((count, length, *steps, channels), cdiv(count, length), rows, block)


def triton_forward(
    x: Tensor,
    log_prior: Tensor,
    gate_mean: Tensor,
    gate_var: Tensor,
    mean: Tensor,
    var: Tensor,
    scale: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
    from_batch: bool,
) -> tuple[Tensor, Tensor]:
    """Do what `by_channel.chunked_forward` does, in float32 whatever the type of x."""
    clusters, channels = gate_mean.shape
    layout = lay_out(x, clusters)
    table, y = _floats(x, TABLE_ROWS, clusters, channels), torch.empty_like(x)
    gate = [_dense(each) for each in (log_prior, gate_mean, gate_var)]
    partial = None
    with torch.cuda.device_of(x):  # type: ignore[no-untyped-call]
        if from_batch:
            partial = _floats(x, 4, clusters, layout.stretches, channels)
            _over_values(forward.sum_moments, layout, clusters, x, partial, *gate)
        _over_tables(
            forward.find_moments, layout, clusters,
            partial, table, *gate, _dense(mean), _dense(var), layout.sizes[0], PSEUDO_COUNT,
        )  # fmt: skip
        affine = (_dense(scale), _dense(weight), _dense(bias))
        _over_values(forward.mix, layout, clusters, x, y, table, *affine, eps)
    return y, table


def triton_backward(
    gradient: Tensor,
    x: Tensor,
    table: Tensor,
    scale: Tensor | None,
    weight: Tensor | None,
    eps: float,
    from_batch: bool,
    tables_too: bool,
) -> tuple[Tensor, ...]:
    """Do what `by_channel.chunked_backward` does, in float32 whatever the type of x."""
    _, clusters, channels = table.shape
    layout, dx, gradient = lay_out(x, clusters), torch.empty_like(x), lay_out_like(gradient, x)
    gradients = _floats(x, GRADIENT_ROWS, clusters, channels) if tables_too else None
    constants = _floats(x, 4, clusters, channels)
    d_affine = _floats(x, channels), _floats(x, channels)
    partial = _floats(x, 3, clusters, layout.stretches, channels)
    affine = _dense(scale), _dense(weight)
    with torch.cuda.device_of(x):  # type: ignore[no-untyped-call]
        _over_values(backward.sum_gradients, layout, clusters, x, gradient, partial, table)
        _over_tables(
            backward.pass_through_moments, layout, clusters,
            partial, table, *affine, constants, gradients, *d_affine, eps, layout.sizes[0],
            PSEUDO_COUNT, from_batch=from_batch,
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
    """Choose how many values a tile has, so that what a thread keeps of them stays in registers."""
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
    kernel[(cdiv(channels, OF_TABLES),)](
        *arguments, layout.stretches, channels, **constants,
        clusters=clusters, rows=next_power_of_2(layout.stretches), block=OF_TABLES,
        num_warps=WARPS, enable_fp_fusion=True,
    )  # fmt: skip


def _floats(x: Tensor, *shape: int) -> Tensor:
    return x.new_empty(shape, dtype=torch.float32)


def _dense(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.float().contiguous()
