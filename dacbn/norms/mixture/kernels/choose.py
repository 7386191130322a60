"""Choose the implementation of mixtures per channel: C (CPU), Triton (GPU) or torch.

Compiled C (`cpu`) takes float32 and bfloat16 activations on a CPU, Triton kernels (`gpu`) take all
but float64 on a GPU, and torch (`by_channel`) takes everything else, and everything if the
environment variable DACBN_KERNEL is "plain". All have the same arguments.
"""

import os
from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dacbn.norms.mixture import by_channel, by_channel_backward
from dacbn.norms.mixture.arguments import Affine, Components, Gate, Options, Saved
from dacbn.norms.mixture.kernels import cpu
from dacbn.norms.mixture.kernels.compile_c import CompilationError, cache_folder

MAX_COMPONENTS = 16
GPU_SIZE_LIMIT = 1 << 31  # values: Triton kernels count in 32 bits


class Kernels(NamedTuple):
    """An implementation of mixtures per channel, whole and in the passes between exchanges.

    Attributes:
        forward: as `by_channel.chunked_forward`.
        backward: as `by_channel_backward.chunked_backward`.
        moments: the first pass of forward, as `by_channel.chunked_moments`.
        mix: the second, as `by_channel.chunked_mix`.
        sums: the first pass of backward, as `by_channel_backward.chunked_sums`.
        spread: the second, as `by_channel_backward.chunked_spread`.
        backend: its name, for users.
        origin: where it comes from, for users.
        step: a forward pass that moves a running mixture, as `cpu.fused_step`, where there is one.
    """

    forward: Callable[[Tensor, Gate, Components, Affine, Options], tuple[Tensor, Tensor]]
    backward: Callable[[Tensor, Saved, Options, bool], tuple[Tensor, ...]]
    moments: Callable[[Tensor, Gate, Components], Tensor]
    mix: Callable[[Tensor, Tensor, Tensor | None, Affine, float], Tensor]
    sums: Callable[[Tensor, Saved, float], tuple[Tensor, Tensor, Tensor]]
    spread: Callable[[Tensor, Saved, float, Tensor, bool], Tensor]
    backend: str
    origin: str
    step: Callable[..., tuple[Tensor, Tensor]] | None = None


PLAIN = Kernels(
    by_channel.chunked_forward,
    by_channel_backward.chunked_backward,
    by_channel.chunked_moments,
    by_channel.chunked_mix,
    by_channel_backward.chunked_sums,
    by_channel_backward.chunked_spread,
    "plain torch",
    "",
)


def kernels_for(x: Tensor, num_clusters: int) -> Kernels:
    """Choose the implementation for activations x and K components."""
    on_cpu = x.device.type == "cpu" and x.dtype in cpu.DEFINITIONS
    on_gpu = x.is_cuda and x.dtype != torch.float64 and x.numel() < GPU_SIZE_LIMIT
    if x.numel() == 0 or not (on_cpu or on_gpu):
        return PLAIN
    found = find_kernels(x.device.type, num_clusters, x.dtype if on_cpu else torch.float32)
    return PLAIN if isinstance(found, str) else found


def kernel_status(device_type: str = "cpu", num_clusters: int = 3) -> tuple[str, str]:
    """Return what normalises K components on "cpu" or "cuda", and where it comes from.

    If that is plain torch, the second text is the reason.
    """
    found = find_kernels(device_type, num_clusters)
    return (PLAIN.backend, found) if isinstance(found, str) else (found.backend, found.origin)


@cache
def find_kernels(
    device_type: str, num_clusters: int, dtype: torch.dtype = torch.float32
) -> Kernels | str:
    """Compile and load the kernels for K components, or return the reason why there are none.

    Args:
        device_type: "cpu" or "cuda".
        num_clusters: components K.
        dtype: of the activations; on a GPU the kernels are the same for all.
    """
    if os.environ.get("DACBN_KERNEL") == "plain":
        return "DACBN_KERNEL=plain"
    if num_clusters > MAX_COMPONENTS:
        return f"more than {MAX_COMPONENTS} components"
    return _find_c(num_clusters, dtype) if device_type == "cpu" else _find_triton(num_clusters)


def _find_c(num_clusters: int, dtype: torch.dtype) -> Kernels | str:
    try:
        kernel = cpu.compile_kernel(num_clusters, dtype)
    except CompilationError as error:
        return str(error)
    functions: Any = [partial(function, kernel) for function in cpu.FUNCTIONS]
    origin = f"compiled into {cache_folder()}"
    step = partial(cpu.fused_step, kernel)
    return Kernels._make((*functions, "fused C kernel", origin, step))


def _find_triton(num_clusters: int) -> Kernels | str:
    """Load the kernels and run them once, because Triton can fail after a successful import."""
    if not torch.cuda.is_available():
        return "no CUDA device"
    try:
        import triton

        from dacbn.norms.mixture.kernels import gpu

        kernels = Kernels(*gpu.FUNCTIONS, "Triton kernels", f"triton {triton.__version__}")
        _try(kernels, num_clusters)
    except Exception as error:  # an old GPU, an old Triton, no C compiler for it, …
        return f"{type(error).__name__}: {error}".splitlines()[0]
    return kernels


def _try(kernels: Kernels, num_clusters: int) -> None:
    x = torch.zeros(2, 1, 2, device="cuda")
    ones, options = torch.ones(num_clusters, 1, device="cuda"), Options(1e-5, from_batch=True)
    y, table = kernels.forward(x, Gate(ones, ones, ones), Components(ones, ones), Affine(), options)
    kernels.backward(y, Saved(x, table, None, None), options, True)
    torch.cuda.synchronize()
