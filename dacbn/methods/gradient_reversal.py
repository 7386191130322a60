"""Gradient reversal: identity in the forward pass, negated gradient in the backward pass."""

from typing import Any

import torch
from torch import Tensor


class _ReverseGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, strength: float) -> Tensor:
        ctx.strength = strength
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return -ctx.strength * gradients[0], None


def reverse_gradient(x: Tensor, strength: float) -> Tensor:
    """Return x; its gradient is multiplied by -strength."""
    y: Tensor = _ReverseGradient.apply(x, strength)
    return y
