"""Normalisation by a mixture per channel in compiled code: what `fused_mixture.c` does, for torch.

The C file is compiled on first use, once for each number of components, which takes a second or
two. Where that fails, or the environment variable DACBN_KERNEL is "plain", `chunked_mixture` does
the same in torch.
"""

import ctypes
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dacbn.norms.chunked_mixture import GRADIENT_ROWS, TABLE_ROWS
from dacbn.norms.compile_c import CompilationError, cache_folder, load_library
from dacbn.norms.moments import PSEUDO_COUNT

SOURCE = Path(__file__).with_suffix(".c")
MOST_COMPONENTS = 16
# Work for which a second thread is worth waking, in values times components.
GRAIN = 1 << 16

# Sizes, two flags, eps, pseudo-count and threads.
_LAST_ARGUMENTS: list[Any] = [*[ctypes.c_int64] * 3, *[ctypes.c_int] * 2]
_LAST_ARGUMENTS += [ctypes.c_double, ctypes.c_double, ctypes.c_int]


class Kernel(NamedTuple):
    """The two functions of the compiled library; both return nonzero where memory is short."""

    forward: Callable[..., int]
    backward: Callable[..., int]


@cache
def find_kernel(num_clusters: int) -> Kernel | str:
    """Compile and load the kernel for K components, or say why there is none."""
    if os.environ.get("DACBN_KERNEL") == "plain":
        return "DACBN_KERNEL=plain"
    if num_clusters > MOST_COMPONENTS:
        return f"more than {MOST_COMPONENTS} components"
    try:
        library = load_library(SOURCE, f"COMPONENTS={num_clusters}")
    except CompilationError as error:
        return str(error)
    library.mixture_forward.argtypes = [*[ctypes.c_void_p] * 11, *_LAST_ARGUMENTS]
    library.mixture_backward.argtypes = [*[ctypes.c_void_p] * 9, *_LAST_ARGUMENTS]
    return Kernel(library.mixture_forward, library.mixture_backward)


def kernel_status(num_clusters: int = 3) -> tuple[str, str]:
    """Say what normalises by K components on a CPU, with a detail: where it is, or why not."""
    kernel = find_kernel(num_clusters)
    if isinstance(kernel, str):
        return "plain torch", kernel
    return "fused C kernel", f"compiled into {cache_folder()}"


def kernel_for(x: Tensor, num_clusters: int) -> Kernel | None:
    """Find the kernel that takes activations x, if there is one."""
    if x.dtype != torch.float32 or x.device.type != "cpu":
        return None
    kernel = find_kernel(num_clusters)
    return None if isinstance(kernel, str) else kernel


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
    """Do what `chunked_mixture.chunked_forward` does; all tensors are float32."""
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
    """Do what `chunked_mixture.chunked_backward` does; all tensors are float32."""
    _, clusters, channels = table.shape
    dx, d_weight, d_bias = torch.empty_like(x), x.new_empty(channels), x.new_empty(channels)
    tables = x.new_empty(GRADIENT_ROWS if tables_too else 0, clusters, channels)
    found = (dx, table, tables if tables_too else None, d_weight, d_bias)
    tensors = (x, _like(gradient, x), *found, _dense(scale), _dense(weight))
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


def _like(gradient: Tensor, x: Tensor) -> Tensor:
    """Lay a gradient out as x is, with either its positions or its channels last."""
    if x.is_contiguous():
        return gradient.contiguous()
    return gradient.movedim(1, -1).contiguous().movedim(-1, 1)


def _layout(x: Tensor) -> tuple[int, int, int, bool]:
    samples, channels = x.shape[:2]
    return samples, channels, x.numel() // (samples * channels), not x.is_contiguous()


def _threads(x: Tensor, num_clusters: int) -> int:
    return max(1, min(torch.get_num_threads(), x.numel() * num_clusters // GRAIN))
