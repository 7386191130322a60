"""A small network with a normaliser, a shift of its inputs, and test-time losses by hand."""

import math

import numpy as np
import torch
from torch import nn

from dacbn.models import Network

CENTRES = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])


class Normalised(nn.Module):
    """Features (B, 3) of images (B, 3, 2, 2): their means, normalised."""

    head_hidden_size = 3

    def __init__(self, norm=None):
        super().__init__()
        self.norm = nn.BatchNorm1d(3) if norm is None else norm

    def forward(self, images):
        """Compute the features."""
        return self.norm(images.mean((2, 3)))


def draw_images(count, shifted, generator):
    """Draw images of three colours; shifted ones are darker, of less contrast and tinted."""
    labels = torch.arange(count) % 3
    images = 0.2 + 0.5 * CENTRES[labels][..., None, None].expand(-1, -1, 2, 2)
    images = images + 0.1 * torch.randn(images.shape, generator=generator)
    if shifted:
        images = 0.3 * images * torch.tensor([1.0, 0.5, 2.0])[:, None, None] + torch.tensor(
            [0.0, 0.4, 0.1]
        ).reshape(3, 1, 1)
    return images, labels


def trained_network(generator, norm=None, steps=60):
    """Train on images as they are."""
    network = Network(Normalised(norm), 3)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.05)
    for _ in range(steps):
        images, labels = draw_images(30, False, generator)
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(images).logits, labels).backward()
        optimizer.step()
    return network.eval()


def accuracy(logits, labels):
    """Return the share of labels that logits predict."""
    return (logits.argmax(1) == labels).float().mean().item()


class ByHand:
    """The network's forward and its entropies in numpy, as functions of scale and shift."""

    def __init__(self, network, images):
        means = ((images - network.pixel_mean) / network.pixel_std).mean((2, 3)).double().numpy()
        eps = network.backbone.norm.eps
        self.standard = (means - means.mean(0)) / np.sqrt(means.var(0) + eps)
        self.matrix = network.classifier.weight.detach().double().numpy()
        self.offset = network.classifier.bias.detach().double().numpy()

    def logits(self, affine):
        """Return logits for scale and shift, in one vector (6,)."""
        return (self.standard * affine[:3] + affine[3:]) @ self.matrix.T + self.offset

    def entropies(self, affine):
        """Return each image's entropy."""
        found = []
        for row in self.logits(affine):
            exponentials = np.exp(row - row.max())
            p = exponentials / exponentials.sum()
            found.append(-sum(q * math.log(q) for q in p))
        return np.array(found)

    def slope(self, affine, counted):
        """Return the gradient of the mean entropy of some images, by central differences."""
        gradient = np.zeros(6)
        for i in range(6):
            step = np.zeros(6)
            step[i] = 1e-6
            high, low = self.entropies(affine + step), self.entropies(affine - step)
            gradient[i] = (high[counted].mean() - low[counted].mean()) / 2e-6
        return gradient


def affine_of(network):
    """Return scale and shift in one vector (6,)."""
    norm = network.backbone.norm
    return torch.cat([norm.weight, norm.bias]).detach().double().numpy()
