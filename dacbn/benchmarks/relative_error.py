"""Check a layer against float64 before timing it."""

import copy

import torch
from torch import Tensor, nn

from dacbn.norms import share_context

# Errors are relative to the largest value of a tensor, or to this if that is less.
SMALLEST_SCALE = 0.1


def relative_error(layer: nn.Module, x: Tensor) -> float:
    """Compare a layer with its copy in float64, which never uses a fast kernel.

    The layer runs on x twice, because some layers initialise themselves from the first batch. The
    outputs, the running statistics and the gradients of x and all parameters are compared.

    Args:
        layer: in training mode; not changed.
        x: activations.

    Returns:
        the largest error over all tensors, each relative to its largest value.
    """
    layer, gradient = copy.deepcopy(layer), torch.randn_like(x)
    _run(layer, x, gradient)
    exact = _run(copy.deepcopy(layer).double(), x.double(), gradient.double())
    found = _run(layer, x, gradient)
    return max(_error(found[name], value) for name, value in exact.items())


def _run(layer: nn.Module, x: Tensor, gradient: Tensor) -> dict[str, Tensor]:
    leaf = x.detach().requires_grad_()
    wanted = {"x": leaf, **dict(layer.named_parameters())}
    with share_context(layer).bind(torch.arange(len(x), device=x.device) % 2):
        y = layer(leaf)
    gradients = torch.autograd.grad(y, [*wanted.values()], gradient, allow_unused=True)
    found = {f"d {name}": g for name, g in zip(wanted, gradients, strict=True) if g is not None}
    buffers = {name: b.clone() for name, b in layer.named_buffers() if b.is_floating_point()}
    return {"y": y.detach(), **found, **buffers}


def _error(found: Tensor, exact: Tensor) -> float:
    if exact.numel() == 0:
        return 0.0
    scale = exact.abs().max().clamp_min(SMALLEST_SCALE)
    return float((found.double() - exact).abs().max() / scale)
