"""Small networks on top of features."""

from torch import nn

from dacbn.norms import BatchNorm


def mlp(
    num_features: int, widths: tuple[int, ...], num_outputs: int, batch_norm: bool = False
) -> nn.Sequential:
    """Build a classifier of features (B, num_features): to (B, num_outputs).

    Args:
        num_features: D.
        widths: of the hidden layers, each followed by a ReLU; none makes it linear.
        num_outputs: logits.
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
