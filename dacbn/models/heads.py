"""Heads: small networks on features."""

from collections.abc import Iterable
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from dacbn.memory import require_memory
from dacbn.norms import BatchNorm
from dacbn.processes import by_rows, each_by_rows

WEIGHT_BYTES = 4  # float32


class CosineClassifier(nn.Linear):
    """Logits of features scaled to length 1: w_c · f / (‖f‖ temperature).

    They are cosines of the features and the class's weights w_c, times the length of the weights.

    Args:
        num_features: number of features.
        num_classes: number of classes.
        temperature: divides the logits.
    """

    def __init__(self, num_features: int, num_classes: int, temperature: float) -> None:
        super().__init__(num_features, num_classes, bias=False)
        self.temperature = temperature

    def forward(self, features: Tensor) -> Tensor:
        """Compute logits (B, num_classes) of features (B, num_features)."""
        return super().forward(F.normalize(features) / self.temperature)


class Head(nn.Sequential):
    """Layers on features (B, D); on several processes each runs its rows."""

    def forward(self, features: Tensor) -> Tensor:
        """Compute logits (B, num_outputs)."""
        logits: Tensor = by_rows(super().forward, features)
        return logits

    def of_each(self, batches: Iterable[Tensor]) -> list[Tensor]:
        """Compute the logits of several batches (B, D), of which a BatchNorm sees each alone."""
        apart = any(isinstance(layer, BatchNorm) for layer in self)
        return each_by_rows(super().forward, [*batches], at_once=not apart)


def mlp(
    num_features: int,
    widths: tuple[int, ...],
    num_outputs: int,
    batch_norm: bool = False,
    called: str | None = None,
    temperature: float | None = None,
) -> Head:
    """Build a multi-layer perceptron: features (B, num_features) -> logits (B, num_outputs).

    Args:
        num_features: number of features.
        widths: widths of the hidden layers, each with a ReLU; an empty tuple makes it linear.
        num_outputs: number of logits.
        batch_norm: put a BatchNorm before each ReLU.
        called: how the user gives the widths, for the error message; by default as head=(...).
        temperature: makes the last layer a `CosineClassifier`.

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
    return Head(*layers, output_layer(num_features, num_outputs, temperature))


def output_layer(num_features: int, num_outputs: int, temperature: float | None) -> nn.Linear:
    """Build the layer of the logits; with a temperature it is a `CosineClassifier`."""
    if temperature is None:
        return nn.Linear(num_features, num_outputs)
    return CosineClassifier(num_features, num_outputs, temperature)
