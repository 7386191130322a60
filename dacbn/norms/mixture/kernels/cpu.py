"""Normalisation by a mixture per channel on a CPU: calls the compiled `cpu.c` with torch's tensors.

The C file is compiled on first use, once for each number of components and each of two types of
activations, which takes a second or two. Tables are float32.
"""

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dacbn.norms.mixture.arguments import (
    GRADIENT_ROWS,
    MEAN,
    TABLE_ROWS,
    VAR,
    Affine,
    Components,
    Gate,
    Options,
    Saved,
)
from dacbn.norms.mixture.kernels.compile_c import load_library
from dacbn.norms.mixture.moments import PSEUDO_COUNT, VANISHING_COUNT

SOURCE = Path(__file__).with_suffix(".c")
# Work for which another thread pays off, in values times components.
GRAIN = 1 << 16

# Three sizes, channels_last, passes, from_batch, eps, pseudo-count and threads.
_LAST_ARGUMENTS: list[Any] = [*[ctypes.c_int64] * 3, *[ctypes.c_int] * 3]
_LAST_ARGUMENTS += [ctypes.c_double, ctypes.c_double, ctypes.c_int]


# Which passes over the activations to make, as in `cpu.c`.
ALL, FIRST, SECOND = range(3)


# How the C files call the types of activations that they read and write.
DEFINITIONS: dict[torch.dtype, tuple[str, ...]] = {
    torch.float32: (),
    torch.bfloat16: ("BFLOAT16=1",),
}


class Kernel(NamedTuple):
    """The functions of the compiled library; all return nonzero if memory runs out."""

    forward: Callable[..., int]
    backward: Callable[..., int]
    step: Callable[..., int]
    dtype: torch.dtype = torch.float32  # of the activations


def compile_kernel(num_clusters: int, dtype: torch.dtype = torch.float32) -> Kernel:
    """Compile and load the kernel for K components and activations of a type.

    Raises:
        CompilationError: it could not be compiled or loaded.
    """
    library = load_library(SOURCE, f"COMPONENTS={num_clusters}", *DEFINITIONS[dtype])
    library.mixture_forward.argtypes = [*[ctypes.c_void_p] * 11, *_LAST_ARGUMENTS]
    library.mixture_backward.argtypes = [*[ctypes.c_void_p] * 9, ctypes.c_int, *_LAST_ARGUMENTS]
    numbers: list[Any] = [*[ctypes.c_double] * 3, ctypes.c_int]
    sizes: list[Any] = [*[ctypes.c_int64] * 3, ctypes.c_int]
    library.mixture_step.argtypes = [*[ctypes.c_void_p] * 8, *sizes, *numbers]
    return Kernel(library.mixture_forward, library.mixture_backward, library.mixture_step, dtype)


def fused_forward(
    kernel: Kernel,
    x: Tensor,
    gate: Gate,
    components: Components,
    affine: Affine,
    options: Options,
) -> tuple[Tensor, Tensor]:
    """Compute `by_channel.chunked_forward`."""
    y, table = torch.empty_like(x), gate.mean.new_empty(TABLE_ROWS, *gate.mean.shape)
    _forward(kernel, ALL, x, y, table, gate, components, affine, options)
    return y, table


def fused_moments(kernel: Kernel, x: Tensor, gate: Gate, components: Components) -> Tensor:
    """Compute `by_channel.chunked_moments`."""
    table = gate.mean.new_empty(TABLE_ROWS, *gate.mean.shape)
    options = Options(0.0, from_batch=True)
    _forward(kernel, FIRST, x, None, table, gate, components, Affine(), options, VANISHING_COUNT)
    return table


def fused_mix(
    kernel: Kernel, x: Tensor, table: Tensor, scale: Tensor | None, affine: Affine, eps: float
) -> Tensor:
    """Compute `by_channel.chunked_mix`."""
    y, options = torch.empty_like(x), Options(eps, from_batch=True)
    components = Components(table[MEAN], table[VAR], scale)
    _forward(kernel, SECOND, x, y, table, None, components, affine, options)
    return y


def fused_backward(
    kernel: Kernel, gradient: Tensor, saved: Saved, options: Options, tables_too: bool
) -> tuple[Tensor, ...]:
    """Compute `by_channel_backward.chunked_backward`."""
    dx, table = torch.empty_like(saved.x), saved.table
    d_weight, d_bias = table.new_empty(table.shape[2]), table.new_empty(table.shape[2])
    tables = table.new_empty(GRADIENT_ROWS if tables_too else 0, *table.shape[1:])
    results = dx, tables if tables_too else None, d_weight, d_bias
    _backward(kernel, ALL, gradient, saved, results, options, tables_too)
    return dx, tables, d_weight, d_bias


def fused_sums(
    kernel: Kernel, gradient: Tensor, saved: Saved, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute `by_channel_backward.chunked_sums`."""
    table = saved.table
    d_weight, d_bias = table.new_empty(table.shape[2]), table.new_empty(table.shape[2])
    tables = table.new_empty(GRADIENT_ROWS, *table.shape[1:])
    results = None, tables, d_weight, d_bias
    _backward(kernel, FIRST, gradient, saved, results, Options(eps, True), False)
    return tables, d_weight, d_bias


def fused_spread(
    kernel: Kernel, gradient: Tensor, saved: Saved, eps: float, gradients: Tensor, tables_too: bool
) -> Tensor:
    """Compute `by_channel_backward.chunked_spread`."""
    dx = torch.empty_like(saved.x)
    results = dx, gradients, None, None
    _backward(kernel, SECOND, gradient, saved, results, Options(eps, True), tables_too)
    return dx


def fused_step(
    kernel: Kernel,
    x: Tensor,
    tables: tuple[Tensor, Tensor, Tensor],
    affine: Affine,
    eps: float,
    momentum: float | None,
) -> tuple[Tensor, Tensor]:
    """Compute `fused_forward` by a running mixture, and move it towards the batch's moments.

    Args:
        kernel: for K components.
        x: (N, C, *), contiguous or channels last.
        tables: shares, means and variances, (K, C) each, contiguous; they move in place.
        affine: the map that follows.
        eps: added to the variances, those of the gate too.
        momentum: weight of the batch; with None nothing moves.
    """
    clusters, channels = len(tables[0]), x.shape[1]
    y, table = torch.empty_like(x), tables[0].new_empty(TABLE_ROWS, clusters, channels)
    read = [_dense(each, clusters * channels) for each in tables]
    read += [_dense(each, channels) for each in affine]
    _run(
        kernel.step,
        address(x, kernel.dtype),
        address(y, kernel.dtype),
        *(address(tensor) for tensor in (table, *read)),
        *_layout(x),
        eps,
        PSEUDO_COUNT,
        -1.0 if momentum is None else momentum,
        _threads(x, clusters),
    )
    return y, table


# In the order of `choose.Kernels`; each gets the kernel first.
FUNCTIONS = fused_forward, fused_backward, fused_moments, fused_mix, fused_sums, fused_spread


def _forward(
    kernel: Kernel,
    passes: int,
    x: Tensor,
    y: Tensor | None,
    table: Tensor,
    gate: Gate | None,
    components: Components,
    affine: Affine,
    options: Options,
    pseudo_count: float = PSEUDO_COUNT,
) -> None:
    clusters, channels = table.shape[1:]
    of_gate: tuple[Tensor | None, ...] = (None, None, None)
    if gate is not None:
        of_gate = torch.sub(gate.log_prior, gate.var.log(), alpha=0.5), gate.mean, gate.var
    tables = [_dense(each, clusters * channels) for each in (*of_gate, *components)]
    tables += [_dense(each, channels) for each in affine]
    _run(
        kernel.forward,
        *(address(tensor, kernel.dtype) for tensor in (x, y)),
        *(address(tensor) for tensor in (table, *tables)),
        *_layout(x),
        passes,
        options.from_batch,
        options.eps,
        pseudo_count,
        _threads(x, clusters),
    )


def _backward(
    kernel: Kernel,
    passes: int,
    gradient: Tensor,
    saved: Saved,
    results: tuple[Tensor | None, ...],
    options: Options,
    gate_too: bool,
) -> None:
    """Fill in the gradients of x, of the tables, of weight and of bias."""
    x, table, scale, weight = saved
    clusters, channels = table.shape[1:]
    factors = _dense(scale, clusters * channels), _dense(weight, channels)
    dx, *of_tables = results
    gradient = with_layout_of(x, gradient)  # perhaps a copy, which has to live
    _run(
        kernel.backward,
        *(address(tensor, kernel.dtype) for tensor in (x, gradient)),
        address(table),
        address(dx, kernel.dtype),
        *(address(tensor) for tensor in (*of_tables, *factors)),
        gate_too,
        *_layout(x),
        passes,
        options.from_batch,
        options.eps,
        PSEUDO_COUNT,
        _threads(x, clusters),
    )


def _run(function: Callable[..., int], *arguments: Any) -> None:
    if function(*arguments):
        raise MemoryError("no memory left for the compiled normalisation")


def address(tensor: Tensor | None, dtype: torch.dtype = torch.float32) -> int | None:
    """Return where a tensor's values are; C would read any other type as if it were this one."""
    if tensor is None:
        return None
    if tensor.dtype is not dtype or not tensor.is_cpu:
        raise TypeError(f"{dtype} on the CPU is needed, not {tensor.dtype} on {tensor.device}")
    return tensor.data_ptr()


def _dense(tensor: Tensor | None, size: int) -> Tensor | None:
    """Return a table with its values next to each other, as many as C is going to read."""
    if tensor is None:
        return None
    if tensor.numel() != size:
        raise ValueError(f"a table needs {size} values, not the shape {tuple(tensor.shape)}")
    return tensor.contiguous()


def with_layout_of(x: Tensor, gradient: Tensor) -> Tensor:
    """Return a gradient in the memory layout of x, with positions last or channels last."""
    if x.is_contiguous():
        return gradient.contiguous()
    return gradient.movedim(1, -1).contiguous().movedim(-1, 1)


def _layout(x: Tensor) -> tuple[int, int, int, bool]:
    samples, channels = x.shape[:2]
    channels_last = not x.is_contiguous()
    if channels_last and not x.movedim(1, -1).is_contiguous():
        raise ValueError(f"x must be contiguous or channels last, not have strides {x.stride()}")
    return samples, channels, x.numel() // (samples * channels), channels_last


def _threads(x: Tensor, num_clusters: int) -> int:
    return max(1, min(torch.get_num_threads(), x.numel() * num_clusters // GRAIN))
