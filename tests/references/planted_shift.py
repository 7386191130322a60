"""A shift that adaptation can undo: a cue that tells the class in the source and lies elsewhere."""

import torch
from torch import nn

from dacbn.batch import Batch
from dacbn.methods import methods
from dacbn.models import Network

CENTRES = torch.tensor([[2.0, 0.0], [-1.0, 1.7], [-1.0, -1.7]])  # of three classes


class Plain(nn.Module):
    """Two layers without normalisation, from images (B, 3, 2, 2) to features (B, 16)."""

    head_hidden_size = 16

    def __init__(self):
        super().__init__()
        # undoes the last line of `draw_domain`
        self.pretrained_cfg = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU()
        )

    def forward(self, images):
        """Compute the features."""
        return self.layers(images)


def draw_domain(count, shifted):
    """Draw images (count, 3, 2, 2) and labels: two values show the class, two more are the cue."""
    labels = torch.arange(count) % 3
    images = 0.1 * torch.randn(count, 12)
    images[:, :2] += CENTRES[labels] / 2 + 0.35 * torch.randn(count, 2)
    if shifted:
        images[:, 2:4] += torch.tensor([0.6, -0.4]) + 0.5 * torch.randn(count, 2)
    else:
        images[:, 2:4] += CENTRES[labels] / 2
    return images.unflatten(1, (3, 2, 2)) * 0.5 + 0.5, labels


def train(spec, steps=150, seed=0):
    """Train a method by its name and return its target accuracy."""
    torch.manual_seed(seed)
    method = methods.build(spec, Network(Plain(), num_classes=3))
    optimizer = torch.optim.AdamW(method.parameters(), lr=5e-3)
    for step in range(steps):
        source, labels = draw_domain(32, shifted=False)
        target, _ = draw_domain(48, shifted=True)
        losses = method(Batch(source, labels, target), step / steps).losses
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
    images, labels = draw_domain(600, shifted=True)
    with torch.no_grad():
        return (method.network(images).logits.argmax(1) == labels).float().mean().item()
