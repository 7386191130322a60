"""Mixtures that assign all channels at once, on a CPU: calls the compiled `joint.c`.

The C file is compiled on first use, once for each number of components, which takes some seconds.
"""

import ctypes
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dacbn.norms.mixture.arguments import (
    GRADIENT_ROWS,
    TABLE_ROWS,
    Affine,
    Components,
    Gate,
    LinearGate,
)
from dacbn.norms.mixture.kernels import choose
from dacbn.norms.mixture.kernels.compile_c import CompilationError, load_library
from dacbn.norms.mixture.kernels.cpu import GRAIN
from dacbn.norms.mixture.moments import PSEUDO_COUNT

SOURCE = Path(__file__).with_suffix(".c")
VECTOR = 16  # floats, of the widest processor: responsibilities have room for whole ones
# What depends on the gradients of the responsibilities, as in `joint_passes.h`.
CONSTANT, BY_GATE, GIVEN, LINEAR = range(4)


class Kernel(NamedTuple):
    """The two functions of the compiled library; both return nonzero if memory runs out."""

    forward: Callable[..., int]
    backward: Callable[..., int]


class JointOptions(NamedTuple):
    """How to normalise by a mixture that assigns all channels at once.

    Attributes:
        eps: added to the variances of the components.
        from_batch: standardise by the moments of the batch; see `arguments.Options`.
        constant: the responsibilities are constants to the gradient.
        by_share: divide each component's term by the square root of its share of the batch.
        least_var: lower bound of the variances that standardise, relative to the batch's.
        gate_eps: added to the variances of the gate, of which the log prior are shares. None: log
            prior and variances are as they are.
    """

    eps: float
    from_batch: bool
    constant: bool = False
    by_share: bool = False
    least_var: float = 0.0
    gate_eps: float | None = None


class Followed(NamedTuple):
    """A running mixture that a forward pass moves towards the batch's moments.

    Attributes:
        prior: shares, (K, 1).
        momentum: weight of the batch.
    """

    prior: Tensor
    momentum: float


def find_joint_kernel(num_clusters: int) -> Kernel | None:
    """Return the kernel for K components; None where those per channel are missing too."""
    missing = isinstance(choose.find_kernels("cpu", num_clusters), str)
    return None if missing else _compile_kernel(num_clusters)


@cache
def _compile_kernel(num_clusters: int) -> Kernel | None:
    try:
        library = load_library(SOURCE, f"COMPONENTS={num_clusters}")
    except CompilationError:
        return None
    sizes: list[Any] = [ctypes.c_int64] * 3
    numbers: list[Any] = [*[ctypes.c_double] * 3, ctypes.c_int]
    forward, backward = library.joint_forward, library.joint_backward
    more: list[Any] = [*[ctypes.c_double] * 5, ctypes.c_int]
    forward.argtypes = [*[ctypes.c_void_p] * 14, *sizes, *[ctypes.c_int] * 4, *more]
    backward.argtypes = [*[ctypes.c_void_p] * 11, *sizes, *[ctypes.c_int] * 5, *numbers]
    return Kernel(forward, backward)


def joint_forward(
    kernel: Kernel,
    x: Tensor,
    gate: Gate | LinearGate | None,
    components: Components,
    affine: Affine,
    given: Tensor | None,
    options: JointOptions,
    output: bool = True,
    followed: Followed | None = None,
) -> tuple[Tensor | None, Tensor, Tensor]:
    """Normalise x, and compute what `joint_backward` needs.

    Args:
        kernel: for K components.
        x: (N, C, *), contiguous or channels last.
        gate: the mixture that assigns, or None with `given`.
        components: the moments that standardise, or from which those of the batch start.
        affine: the map that follows.
        given: responsibilities (K, N L) instead of the gate's.
        options: of both passes.
        output: whether x is normalised, or only assigned.
        followed: the running mixture whose means and variances are those of the components, and
            are moved, with its shares.

    Returns:
        the output, None without it; responsibilities, (K, N L) and more; the table.
    """
    clusters, channels = components.mean.shape
    y = torch.empty_like(x) if output else None
    units, size = x.numel() // channels, clusters * channels
    room = -(-units // VECTOR) * VECTOR
    r, table = x.new_empty(clusters, room), x.new_empty(TABLE_ROWS, clusters, channels)
    mean, var, scale = components
    prior, momentum = followed or (None, 0.0)
    gates: tuple[Tensor | None, ...] = (None, None, None)
    if gate is not None:
        gates = (gate.bias, None, gate.weight) if isinstance(gate, LinearGate) else gate
    gate_eps = options.gate_eps
    tensors = (x, y, r, table, *gates, prior, mean, var, scale, *affine, given)
    sizes: tuple[int, ...] = (
        x.numel(),
        x.numel(),
        clusters * room,
        TABLE_ROWS * size,
        clusters,
        size,
        size,
    )
    sizes += (clusters, size, size, clusters, channels, channels, clusters * units)
    flags = options.from_batch, options.by_share, gate_eps is not None
    numbers = options.eps, PSEUDO_COUNT, options.least_var, gate_eps or 0.0, momentum
    _call(kernel.forward, tensors, sizes, flags, numbers, clusters)
    return y, r, table


def joint_backward(
    kernel: Kernel,
    gradient: Tensor,
    saved: tuple[Tensor, Tensor, Tensor, Tensor | None, Tensor | None],
    options: JointOptions,
    route: int,
    tables_too: bool,
) -> tuple[Tensor, Tensor, Tensor | None, Tensor, Tensor]:
    """Compute the gradients of `joint_forward`.

    Args:
        kernel: for K components.
        gradient: of the output, laid out like x.
        saved: x, responsibilities, the table, scale and weight of forward.
        options: of forward.
        route: what the gradients of the responsibilities pass on to.
        tables_too: whether any gradient of the gate or the components is needed.

    Returns:
        the gradient of x; those of gate and components, (GRADIENT_ROWS, K, C), or (0, K, C)
        without `tables_too`; of what was given, (K, N L); of weight and bias, (C,) each.
    """
    x, r, table, scale, weight = saved
    clusters, channels = table.shape[1:]
    units, size = x.numel() // channels, clusters * channels
    dx, of_affine = torch.empty_like(x), x.new_empty(2, channels)
    rows = GRADIENT_ROWS if tables_too else 0
    tables = x.new_empty(rows, clusters, channels)
    d_given = x.new_empty(clusters, units) if route == GIVEN else None
    d_weight, d_bias = of_affine.unbind()
    tensors = (x, gradient, r, table, dx, tables if rows else None, d_given, d_weight, d_bias)
    sizes: tuple[int, ...] = (
        x.numel(),
        x.numel(),
        r.numel(),
        TABLE_ROWS * size,
        x.numel(),
        rows * size,
    )
    sizes += (clusters * units, channels, channels, clusters, channels)
    flags = options.from_batch, options.by_share, route, tables_too
    numbers = options.eps, PSEUDO_COUNT, options.least_var
    _call(kernel.backward, (*tensors, scale, weight), sizes, flags, numbers, clusters)
    return dx, tables, d_given, d_weight, d_bias


def _call(
    function: Callable[..., int],
    tensors: tuple[Tensor | None, ...],
    sizes: tuple[int, ...],
    flags: tuple[int, ...],
    numbers: tuple[float, ...],
    clusters: int,
) -> None:
    """Run the C function on tensors of these sizes; the first is x, and those like it as dense."""
    x = tensors[0]
    assert x is not None
    shape, kept = x.shape, []
    addresses: list[int | None] = []
    for tensor, size in zip(tensors, sizes, strict=True):
        if tensor is None:
            addresses.append(None)
            continue
        if tensor.dtype is not torch.float32 or not tensor.is_cpu:
            kind = f"{tensor.dtype} on {tensor.device}"
            raise TypeError(f"float32 on the CPU is needed, not {kind}")
        if tensor.numel() != size:
            raise ValueError(f"a table needs {size} values, not the shape {tuple(tensor.shape)}")
        if not tensor.is_contiguous() and tensor.shape != shape:
            tensor = tensor.contiguous()
            kept.append(tensor)  # until C has read it
        addresses.append(tensor.data_ptr())
    samples, channels = shape[:2]
    positions = x.numel() // (samples * channels)
    by_unit = positions == 1 or not x.is_contiguous()
    threads = max(1, min(torch.get_num_threads(), x.numel() * clusters // GRAIN))
    if function(*addresses, samples, channels, positions, by_unit, *flags, *numbers, threads):
        raise MemoryError("no memory left for the compiled normalisation")
