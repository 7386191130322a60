"""Heads: small networks on features."""

from itertools import pairwise

from torch import nn

from dacbn.memory import require_memory
from dacbn.norms import BatchNorm

WEIGHT_BYTES = 4  # float32


def mlp(
    num_features: int,
    widths: tuple[int, ...],
    num_outputs: int,
    batch_norm: bool = False,
    called: str | None = None,
) -> nn.Sequential:
    """Build a multi-layer perceptron: features (B, num_features) -> logits (B, num_outputs).

    Args:
        num_features: number of features.
        widths: widths of the hidden layers, each with a ReLU; an empty tuple makes it linear.
        num_outputs: number of logits.
        batch_norm: put a BatchNorm before each ReLU.
        called: how the user gives the widths, for the error message; by default as head=(...).

    Raises:
        ValueError: there is no memory for so many weights.

    Example:
        >>> import torch
        >>> mlp(512, (100,), 10)(torch.randn(4, 512)).shape
        torch.Size([4, 10])
    """
    count = sum(a * b for a, b in pairwise((num_features, *widths, num_outputs)))
    what = f"{called or f'head={widths}'}, that is {count:,} weights"
    require_memory(count * WEIGHT_BYTES, what, "choose smaller widths")
    layers: list[nn.Module] = []
    for width in widths:
        norm = [BatchNorm(width)] if batch_norm else []
        layers += [nn.Linear(num_features, width), *norm, nn.ReLU()]
        num_features = width
    return nn.Sequential(*layers, nn.Linear(num_features, num_outputs))
