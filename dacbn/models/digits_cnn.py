"""The small convolutional network of the digit experiments.

Paper: Ganin et al., "Domain-Adversarial Training of Neural Networks", JMLR 2016,
https://arxiv.org/abs/1505.07818, figure 4a (the MNIST architecture): two 5x5 convolutions with 32
and 48 filters, each followed by pooling and ReLU, and the flattened output as features.
Differs from the paper: each convolution is followed by a BatchNorm, to have a layer to convert
(after pooling, where it costs a quarter); the classifier is linear.
"""

from types import MappingProxyType

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dacbn.models.own_backbones import own_backbones

GRID = 5  # height and width of the last feature map of a 32x32 image


class _PoolToGrid(nn.Module):
    """Pool feature maps to GRID x GRID; skip pooling when they already have that size."""

    def forward(self, maps: Tensor) -> Tensor:
        fits = maps.shape[-2:] == (GRID, GRID)
        return maps if fits else F.adaptive_avg_pool2d(maps, GRID)


@own_backbones.register("digits_cnn")
class DigitsCNN(nn.Module):
    """Features of small images: (B, 3, S, S) to (B, 1200)."""

    head_hidden_size = 48 * GRID**2
    pretrained_cfg = MappingProxyType({"mean": (0.5,) * 3, "std": (0.5,) * 3})  # as timm has it

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 32, 5, bias=False),
            nn.MaxPool2d(2),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.Conv2d(32, 48, 5, bias=False),
            nn.MaxPool2d(2),
            nn.BatchNorm2d(48),
            nn.ReLU(),
            _PoolToGrid(),
            nn.Flatten(),
        )
        self.to(memory_format=torch.channels_last)  # a third faster on CPUs

    def forward(self, images: Tensor) -> Tensor:
        """Compute features (B, 1200) of images (B, 3, S, S)."""
        features: Tensor = self.layers(images)
        return features
