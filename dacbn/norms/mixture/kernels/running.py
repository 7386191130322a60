"""The update of a running mixture in one call of compiled code: `running.c`."""

import ctypes
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dacbn.norms.mixture.kernels import choose
from dacbn.norms.mixture.kernels.compile_c import CompilationError, load_library

SOURCE = Path(__file__).with_suffix(".c")


def follow_batch(
    running: tuple[Tensor, Tensor, Tensor],
    found: tuple[Tensor, Tensor, Tensor],
    num_values: int,
    momentum: float,
) -> bool:
    """Move a running mixture towards a batch's moments, as `RunningMixture.update` does.

    Args:
        running: shares (K, C) or (K, 1), means and variances (K, C).
        found: the same of the batch; the variances are biased.
        num_values: values per channel in the batch.
        momentum: weight of the batch.

    Returns:
        whether that was done: there may be no compiled code for these tensors.
    """
    prior, mean, _ = running
    share, (clusters, channels) = found[0], mean.shape
    each_has = prior.shape[1]
    for tensors in (running, found):
        for each in tensors:
            fits = each.dtype is torch.float32 and each.is_cpu
            shape = prior.shape if each is prior or each is share else mean.shape
            column = each is share and each_has == 1  # of a table
            if not fits or each.shape != shape or not (column or each.is_contiguous()):
                return False
    function = None if isinstance(choose.find_kernels("cpu", clusters), str) else _compile()
    if function is None:
        return False
    addresses = [each.data_ptr() for tensors in (running, found) for each in tensors]
    sizes = clusters, channels, each_has, share.stride(0)
    function(*addresses, *sizes, num_values, momentum)
    for moved in running:
        torch.autograd.graph.increment_version(moved)
    return True


@cache
def _compile() -> Callable[..., None] | None:
    try:
        function: Any = load_library(SOURCE).follow_batch
    except CompilationError:
        return None
    function.argtypes = [*[ctypes.c_void_p] * 6, *[ctypes.c_int64] * 4, *[ctypes.c_double] * 2]
    function.restype = None
    return function  # type: ignore[no-any-return]
