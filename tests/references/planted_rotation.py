"""Three clusters in the plane, and the same ones turned: what adaptation must see through.

The turn brings each target cluster to the edge of the source's class boundary, in a gap between
clusters where certainty, confidence or smoothness can tell on which side it belongs.
"""

import math

import torch
from torch import nn

from dacbn.batch import Batch
from dacbn.methods import methods
from dacbn.models import Network

TURN = 50  # degrees; the source's boundaries are at 60


class PlaneNetwork(nn.Module):
    """Features (B, 16) of points (B, 3, 1, 1), whose third coordinate means nothing."""

    head_hidden_size = 16

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(3, 16), nn.BatchNorm1d(16), nn.ReLU())

    def forward(self, points):
        """Compute features (B, 16)."""
        return self.layers(points)


def draw_points(count, turn, generator):
    """Draw points (count, 3, 1, 1) in [0, 1] and their labels."""
    labels = torch.arange(count) % 3
    angles = (labels * 120 + turn) * math.pi / 180
    centres = torch.stack([angles.cos(), angles.sin(), torch.zeros(count)], 1)
    points = 0.5 + 0.35 * centres + 0.04 * torch.randn(count, 3, generator=generator)
    return points[..., None, None], labels


def accuracy_after(method, steps=120, seed=0):
    """Train a method by name; return its accuracy on the turned clusters."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    trained = methods.build(method, Network(PlaneNetwork(), 3))
    optimizer = torch.optim.Adam(trained.parameters(), lr=0.01)
    for step in range(steps):
        source, labels = draw_points(32, 0, generator)
        target, _ = draw_points(48, TURN, generator)
        strong = (p + 0.08 * torch.randn(p.shape, generator=generator) for p in (source, target))
        losses = trained(Batch(source, labels, target, *strong), step / steps).losses
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
    points, labels = draw_points(300, TURN, generator)
    predicted = trained.network.eval()(points).logits.argmax(1)
    return (predicted == labels).float().mean().item()
