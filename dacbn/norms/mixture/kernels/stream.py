"""Steps of mixtures that follow a stream, one call of compiled code for each: `cpu_lines.c`.

They compute no gradients.
"""

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any, Literal

import torch
from torch import Tensor

from dacbn.norms.mixture.kernels.compile_c import load_library
from dacbn.norms.mixture.kernels.cpu import DEFINITIONS
from dacbn.norms.mixture.kernels.lines import GRAIN, SOURCE, line_kernel_for
from dacbn.norms.mixture.routes import dense
from dacbn.norms.recomputation import is_recomputation
from dacbn.processes import is_shared

Tables = tuple[Tensor | None, ...]
Step = Literal["stream_mixture", "stream_unmix"]
ARGUMENTS: dict[Step, tuple[int, int]] = {"stream_mixture": (9, 3), "stream_unmix": (8, 2)}


def step_in_c(
    step: Step, x: Tensor, moved: Tables, read: Tables, numbers: tuple[float, ...]
) -> Tensor | None:
    """Normalise x (N, C, *) and move the tables; None if torch has to, and nothing has moved.

    Args:
        step: the function of the library.
        x: the activations.
        moved: the tables that it moves, in the order of its arguments; the last is (K, C).
        read: those that it reads, in the same order; then weight and bias.
        numbers: its numbers, such as the eps.
    """
    kernel = None if is_shared() or is_recomputation() else line_kernel_for(x)
    if kernel is None:
        return None
    tables = [each for each in (*moved, *read) if each is not None]
    learned = torch.is_grad_enabled() and any(each.requires_grad for each in (x, *tables))
    if learned or not all(map(_fits, tables)):
        return None
    x = dense(x)
    y = torch.empty_like(x)
    samples, channels = x.shape[:2]
    length, clusters = x.numel() // (samples * channels), tables[len(moved) - 1].shape[0]
    threads = max(1, min(torch.get_num_threads(), x.numel() // GRAIN))
    addresses = [None if each is None else each.data_ptr() for each in (x, y, *moved, *read)]
    sizes = clusters, samples, channels, length
    if _function(step, x.dtype)(*addresses, *numbers, *sizes, not x.is_contiguous(), threads):
        raise MemoryError("no memory left for the compiled normalisation")
    for each in tables[: len(moved)]:
        if not each.is_inference():  # which counts no changes
            torch.autograd.graph.increment_version(each)
    return y


def _fits(table: Tensor) -> bool:
    return table.dtype is torch.float32 and table.is_cpu and table.is_contiguous()


@cache
def _function(step: Step, dtype: torch.dtype) -> Callable[..., int]:
    function: Any = getattr(load_library(SOURCE, *DEFINITIONS[dtype]), step)
    tables, numbers = ARGUMENTS[step]
    sizes: list[Any] = [*[ctypes.c_int64] * 4, *[ctypes.c_int] * 2]
    function.argtypes = [*[ctypes.c_void_p] * tables, *[ctypes.c_double] * numbers, *sizes]
    return function  # type: ignore[no-any-return]
