"""Normalisation by a mixture per channel in compiled code: what `cpu.c` does, for torch.

The C file is compiled on first use, once for each number of components, which takes a second or
two.
"""

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dacbn.norms.mixture.by_channel import GRADIENT_ROWS, TABLE_ROWS
from dacbn.norms.mixture.kernels.compile_c import load_library
from dacbn.norms.mixture.moments import PSEUDO_COUNT

SOURCE = Path(__file__).with_suffix(".c")
# Work for which a second thread is worth waking, in values times components.
GRAIN = 1 << 16

# Sizes, two flags, eps, pseudo-count and threads.
_LAST_ARGUMENTS: list[Any] = [*[ctypes.c_int64] * 3, *[ctypes.c_int] * 2]
_LAST_ARGUMENTS += [ctypes.c_double, ctypes.c_double, ctypes.c_int]


class Kernel(NamedTuple):
    """The two functions of the compiled library; both return nonzero where memory is short."""

    forward: Callable[..., int]
    backward: Callable[..., int]


def compile_kernel(num_clusters: int) -> Kernel:
    """Compile and load the kernel for K components.

    Raises:
        CompilationError: there is none, for the reason given.
    """
    library = load_library(SOURCE, f"COMPONENTS={num_clusters}")
    library.mixture_forward.argtypes = [*[ctypes.c_void_p] * 11, *_LAST_ARGUMENTS]
    library.mixture_backward.argtypes = [*[ctypes.c_void_p] * 9, *_LAST_ARGUMENTS]
    return Kernel(library.mixture_forward, library.mixture_backward)


def fused_forward(
    kernel: Kernel,
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
    """Do what `by_channel.chunked_forward` does; all tensors are float32."""
    y, table = torch.empty_like(x), x.new_empty(TABLE_ROWS, *gate_mean.shape)
    level = torch.sub(log_prior, gate_var.log(), alpha=0.5)
    tables = [_dense(t) for t in (level, gate_mean, gate_var, mean, var, scale, weight, bias)]
    _run(
        kernel.forward,
        *(_address(tensor) for tensor in (x, y, table, *tables)),
        *_layout(x),
        from_batch,
        eps,
        PSEUDO_COUNT,
        _threads(x, len(gate_mean)),
    )
    return y, table


def fused_backward(
    kernel: Kernel,
    gradient: Tensor,
    x: Tensor,
    table: Tensor,
    scale: Tensor | None,
    weight: Tensor | None,
    eps: float,
    from_batch: bool,
    tables_too: bool,
) -> tuple[Tensor, ...]:
    """Do what `by_channel.chunked_backward` does; all tensors are float32."""
    _, clusters, channels = table.shape
    dx, d_weight, d_bias = torch.empty_like(x), x.new_empty(channels), x.new_empty(channels)
    tables = x.new_empty(GRADIENT_ROWS if tables_too else 0, clusters, channels)
    found = (dx, table, tables if tables_too else None, d_weight, d_bias)
    tensors = (x, lay_out_like(gradient, x), *found, _dense(scale), _dense(weight))
    _run(
        kernel.backward,
        *(_address(tensor) for tensor in tensors),
        *_layout(x),
        from_batch,
        eps,
        PSEUDO_COUNT,
        _threads(x, clusters),
    )
    return dx, tables, d_weight, d_bias


def _run(function: Callable[..., int], *arguments: Any) -> None:
    if function(*arguments):
        raise MemoryError("no memory left for the compiled normalisation")


def _address(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()


def _dense(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.contiguous()


def lay_out_like(gradient: Tensor, x: Tensor) -> Tensor:
    """Lay a gradient out as x is, with either its positions or its channels last."""
    if x.is_contiguous():
        return gradient.contiguous()
    return gradient.movedim(1, -1).contiguous().movedim(-1, 1)


def _layout(x: Tensor) -> tuple[int, int, int, bool]:
    samples, channels = x.shape[:2]
    return samples, channels, x.numel() // (samples * channels), not x.is_contiguous()


def _threads(x: Tensor, num_clusters: int) -> int:
    return max(1, min(torch.get_num_threads(), x.numel() * num_clusters // GRAIN))
