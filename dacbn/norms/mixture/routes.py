"""Which tensors may reach compiled code and manual gradients, and which need torch's operations.

Compiled code reads memory. A tensor that a tracer, a dispatch mode or a functional transform hands
over may have none, or its values may not be those of the batch.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

PLAIN_TYPES = (Tensor, nn.Parameter)
# Types of activations that are computed with in a wider type, at the latest in the kernels.
HALF = (torch.float16, torch.bfloat16)


def is_transformed() -> bool:
    """Whether a transform of `torch.func` is active, such as `grad`, `vmap` or `jvp`."""
    compiling = torch.compiler.is_compiling()  # the compiler follows transforms by itself
    return not compiling and torch._C._are_functorch_transforms_active()


def is_recorded(x: Tensor) -> bool:
    """Whether what is done to x is recorded, or x is no plain tensor: a fake one, for example."""
    return bool(
        torch.compiler.is_compiling()
        or type(x) not in PLAIN_TYPES
        or torch._C._len_torch_dispatch_stack()
        or torch._C._get_tracing_state()  # of torch.jit.trace
    )


def has_no_memory(x: Tensor) -> bool:
    """Whether only torch's operations may compute with x, because of a tracer or a transform."""
    return is_transformed() or is_recorded(x)


def passes_on(gradient: Tensor) -> bool:
    """Whether a gradient will be differentiated or transformed, or is a batch of gradients."""
    return bool(
        torch.is_grad_enabled()
        or is_transformed()
        or type(gradient) not in PLAIN_TYPES
        or is_batched(gradient)
    )


def is_batched(gradient: Tensor) -> bool:
    """Whether this is a batch of gradients, which has the shape of one of them.

    By `torch.autograd.grad(..., is_grads_batched=True)`, which vectorised Jacobians take.
    """
    compiling = torch.compiler.is_compiling()  # which such a batch does not reach
    return not compiling and torch._C._functorch.is_legacy_batchedtensor(gradient)


def is_exported() -> bool:
    """Whether a graph is recorded that will run without this package.

    By torch.export, torch.jit.trace or an exporter to ONNX; for other shapes too. Such a graph can
    neither check its input nor call compiled code.
    """
    # torch before 2.7 does not say that it exports
    is_exporting = getattr(torch.compiler, "is_exporting", torch.onnx.is_in_onnx_export)
    return bool(is_exporting() or torch._C._get_tracing_state())


def dense(x: Tensor) -> Tensor:
    """Return x with positions or channels next to each other, as compiled code reads it."""
    return x if x.is_contiguous() or x.movedim(1, -1).is_contiguous() else x.contiguous()


def refuse_script(layer: nn.Module) -> nn.Module:
    """Refuse torch.jit.script, which calls this method of a layer, and cannot read ours.

    Raises:
        RuntimeError: always.
    """
    raise RuntimeError(
        f"torch.jit.script cannot read {type(layer).__name__}: record the network, in evaluation "
        "mode, by torch.jit.trace, or export it by dacbn export"
    )


def needs_formulas(x: Tensor) -> bool:
    """Whether the formulas of `moments` have to be used for x (N, C, *).

    They suit tracers, transforms and batches without values.
    """
    return x.numel() == 0 or has_no_memory(x)


def traced_as_one(layer: nn.Module, x: Any) -> Any:
    """Record a layer as one, where a symbolic tracer of torch.fx would look into its code.

    Args:
        layer: is called with x alone.
        x: the proxy of the tracer.
    """
    return x.tracer.create_proxy("call_module", x.tracer.path_of_module(layer), (x,), {})


def without_autocast(x: Tensor) -> AbstractContextManager[Any]:
    """Keep autocast from lowering the type of what is computed from x; "meta" knows none."""
    return nullcontext() if x.is_meta else torch.autocast(x.device.type, enabled=False)
