"""Passes over activations for what is a line in each channel of each sample: calls `cpu_lines.c`.

Activations are (N, C, *), float32 or bfloat16, with positions or channels next to each other.
Tables are (N, C), float32.
"""

import ctypes
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dacbn.norms.mixture.kernels.compile_c import CompilationError, load_library
from dacbn.norms.mixture.kernels.cpu import DEFINITIONS, address
from dacbn.norms.mixture.routes import needs_formulas

SOURCE = Path(__file__).with_name("cpu_lines.c")
GRAIN = 1 << 16  # values for which another thread pays off
# Three sizes, channels_last and threads.
_LAST_ARGUMENTS: list[Any] = [*[ctypes.c_int64] * 3, ctypes.c_int, ctypes.c_int]


class LineKernel(NamedTuple):
    """The functions of the compiled library; all return nonzero if memory runs out."""

    moments: Callable[..., int]
    gradients: Callable[..., int]
    values: Callable[..., int]
    dtype: torch.dtype  # of the activations


def line_kernel_for(x: Tensor) -> LineKernel | None:
    """Return the compiled code that takes x (N, C, *); None if torch has to compute."""
    if x.dtype not in DEFINITIONS or not x.is_cpu or needs_formulas(x):
        return None
    found = find_line_kernel(x.dtype)
    return None if isinstance(found, str) else found


@cache
def find_line_kernel(dtype: torch.dtype) -> LineKernel | str:
    """Compile and load the code for activations of a type, or say why there is none."""
    if os.environ.get("DACBN_KERNEL") == "plain":
        return "DACBN_KERNEL=plain"
    try:
        library = load_library(SOURCE, *DEFINITIONS[dtype])
    except CompilationError as error:
        return str(error)
    functions = library.line_moments, library.line_gradients, library.line_values
    for function, tensors in zip(functions, (3, 4, 6), strict=True):
        function.argtypes = [*[ctypes.c_void_p] * tensors, *_LAST_ARGUMENTS]
    return LineKernel(*functions, dtype)


def find_moments(kernel: LineKernel, x: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the mean and biased variance of each channel of each sample."""
    mean, var = torch.empty(2, *x.shape[:2])
    _run(kernel.moments, x, address(x, kernel.dtype), address(mean), address(var))
    return mean, var


def sum_gradients(kernel: LineKernel, x: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the sums over positions of gradients, and of their products with x."""
    sums, products = torch.empty(2, *x.shape[:2])
    activations = address(x, kernel.dtype), address(gradient, kernel.dtype)
    _run(kernel.gradients, x, *activations, address(sums), address(products))
    return sums, products


def find_values(
    kernel: LineKernel,
    x: Tensor,
    of_x: Tensor,
    shift: Tensor,
    gradient: Tensor | None = None,
    of_gradient: Tensor | None = None,
) -> Tensor:
    """Compute of_x x + shift, and if they are given + of_gradient gradient."""
    out = torch.empty_like(x)
    tables = [None if each is None else each.contiguous() for each in (of_x, of_gradient, shift)]
    activations = (address(each, kernel.dtype) for each in (x, gradient, out))
    _run(kernel.values, x, *activations, *(address(each) for each in tables))
    return out


def _run(function: Callable[..., int], x: Tensor, *addresses: int | None) -> None:
    samples, channels = x.shape[:2]
    length = x.numel() // (samples * channels)
    channels_last = x.movedim(1, -1).is_contiguous()
    if not channels_last and not x.is_contiguous():
        raise ValueError(f"x must be contiguous or channels last, not have strides {x.stride()}")
    threads = max(1, min(torch.get_num_threads(), x.numel() // GRAIN))
    if function(*addresses, samples, channels, length, channels_last, threads):
        raise MemoryError("no memory left for the compiled normalisation")
