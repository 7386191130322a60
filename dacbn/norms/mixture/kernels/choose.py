"""What normalises by a mixture per channel, and why: decided here and nowhere else.

Compiled C on a CPU (`cpu`), Triton kernels on a GPU (`gpu`), and torch
everywhere else (`by_channel`), or everywhere where the environment variable DACBN_KERNEL is
"plain". All take the same arguments.
"""

import os
from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dacbn.norms.mixture.by_channel import chunked_backward, chunked_forward
from dacbn.norms.mixture.kernels.compile_c import CompilationError, cache_folder
from dacbn.norms.mixture.kernels.cpu import compile_kernel, fused_backward, fused_forward

MOST_COMPONENTS = 16
FEWEST_TOO_MANY = 1 << 31  # values, where a kernel's 32-bit numbers end


class Kernels(NamedTuple):
    """A way to normalise.

    Args:
        forward: see `by_channel.chunked_forward`.
        backward: see `by_channel.chunked_backward`.
        form: what it is, for people.
        detail: where it comes from.
    """

    forward: Callable[..., tuple[Tensor, Tensor]]
    backward: Callable[..., tuple[Tensor, ...]]
    form: str
    detail: str


PLAIN = Kernels(chunked_forward, chunked_backward, "plain torch", "")


def kernels_for(x: Tensor, num_clusters: int) -> Kernels:
    """Choose what normalises activations x by K components."""
    on_cpu = x.device.type == "cpu" and x.dtype == torch.float32
    on_gpu = x.is_cuda and x.dtype != torch.float64 and x.numel() < FEWEST_TOO_MANY
    if not (on_cpu or on_gpu):
        return PLAIN
    found = find_kernels(x.device.type, num_clusters)
    return PLAIN if isinstance(found, str) else found


def kernel_status(device_type: str = "cpu", num_clusters: int = 3) -> tuple[str, str]:
    """Say what normalises by K components, with a detail: where it comes from, or why not."""
    found = find_kernels(device_type, num_clusters)
    return (PLAIN.form, found) if isinstance(found, str) else (found.form, found.detail)


@cache
def find_kernels(device_type: str, num_clusters: int) -> Kernels | str:
    """Compile and load what a device's type has for K components, or say why there is nothing."""
    if os.environ.get("DACBN_KERNEL") == "plain":
        return "DACBN_KERNEL=plain"
    if num_clusters > MOST_COMPONENTS:
        return f"more than {MOST_COMPONENTS} components"
    return _find_c(num_clusters) if device_type == "cpu" else _find_triton(num_clusters)


def _find_c(num_clusters: int) -> Kernels | str:
    try:
        kernel = compile_kernel(num_clusters)
    except CompilationError as error:
        return str(error)
    functions = partial(fused_forward, kernel), partial(fused_backward, kernel)
    return Kernels(*functions, "fused C kernel", f"compiled into {cache_folder()}")


def _find_triton(num_clusters: int) -> Kernels | str:
    """Try the kernels on a few values: Triton can fail long after it has been imported."""
    if not torch.cuda.is_available():
        return "no CUDA device"
    try:
        import triton

        from dacbn.norms.mixture.kernels.gpu import triton_backward, triton_forward

        kernels = Kernels(
            triton_forward, triton_backward, "Triton kernels", f"triton {triton.__version__}"
        )
        _try(kernels, num_clusters)
    except Exception as error:  # an old GPU, an old Triton, no C compiler for it, …
        return f"{type(error).__name__}: {error}".splitlines()[0]
    return kernels


def _try(kernels: Kernels, num_clusters: int) -> None:
    x = torch.zeros(2, 1, 2, device="cuda")
    tables: list[Any] = [torch.ones(num_clusters, 1, device="cuda")] * 5
    y, table = kernels.forward(x, *tables, None, None, None, 1e-5, True)
    kernels.backward(y, x, table, None, None, 1e-5, True, True)
    torch.cuda.synchronize()
