"""Small networks on top of features."""

from torch import nn


def domain_head(num_features: int) -> nn.Sequential:
    """Build DANN's domain classifier: features (B, num_features) to one logit (B, 1).

    As in the paper, one layer of 100 on a small network's features, two of 1024 otherwise.
    """
    widths = (100,) if num_features <= 256 else (1024, 1024)
    layers: list[nn.Module] = []
    for width in widths:
        layers += [nn.Linear(num_features, width), nn.ReLU()]
        num_features = width
    return nn.Sequential(*layers, nn.Linear(num_features, 1))
