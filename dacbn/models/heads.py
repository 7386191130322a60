"""Small networks on top of features."""

from torch import nn


def domain_head(num_features: int, widths: tuple[int, ...] = (1024, 1024)) -> nn.Sequential:
    """Build DANN's domain classifier: features (B, num_features) to one logit (B, 1).

    Args:
        num_features: D.
        widths: of the hidden layers, each followed by a ReLU.
    """
    layers: list[nn.Module] = []
    for width in widths:
        layers += [nn.Linear(num_features, width), nn.ReLU()]
        num_features = width
    return nn.Sequential(*layers, nn.Linear(num_features, 1))
