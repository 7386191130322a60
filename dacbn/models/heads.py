"""Heads: small networks on features."""

from torch import nn

from dacbn.norms import BatchNorm


def mlp(
    num_features: int, widths: tuple[int, ...], num_outputs: int, batch_norm: bool = False
) -> nn.Sequential:
    """Build a multi-layer perceptron: features (B, num_features) -> logits (B, num_outputs).

    Args:
        num_features: number of features.
        widths: widths of the hidden layers, each with a ReLU; an empty tuple makes it linear.
        num_outputs: number of logits.
        batch_norm: put a BatchNorm before each ReLU.

    Example:
        >>> import torch
        >>> mlp(512, (100,), 10)(torch.randn(4, 512)).shape
        torch.Size([4, 10])
    """
    layers: list[nn.Module] = []
    for width in widths:
        norm = [BatchNorm(width)] if batch_norm else []
        layers += [nn.Linear(num_features, width), *norm, nn.ReLU()]
        num_features = width
    return nn.Sequential(*layers, nn.Linear(num_features, num_outputs))
