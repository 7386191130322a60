"""The small convolutional network of the digit experiments.

Paper: Ganin et al., "Domain-Adversarial Training of Neural Networks", JMLR 2016,
https://arxiv.org/abs/1505.07818, figure 4a (the MNIST architecture): two 5x5 convolutions with 32
and 48 filters, each followed by pooling, then fully connected layers of 100.
Differs from the paper: a BatchNorm follows each layer (after pooling, where it costs a quarter),
without which there would be nothing to convert; one fully connected layer before the classifier
gives the features, which the domain head sees too.
"""

from torch import Tensor, nn


class DigitsCNN(nn.Module):
    """Features of small images: (B, 3, S, S) to (B, 100)."""

    head_hidden_size = 100

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
            nn.AdaptiveAvgPool2d(5),
            nn.Flatten(),
            nn.Linear(48 * 5 * 5, 100, bias=False),
            nn.BatchNorm1d(100),
            nn.ReLU(),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Compute features (B, 100) of images (B, 3, S, S)."""
        features: Tensor = self.layers(images)
        return features
