"""Networks and images whose activations are known beforehand, to record and look at."""

import torch
from torch import nn

from dacbn.analysis.observe.subject import Sample, Subject
from dacbn.datasets import TensorImages
from dacbn.norms import UCBNorm

DARK, BRIGHT = 51, 204  # of 255: 0.2 and 0.8


class OneNorm(nn.Module):
    """Images straight into a normaliser."""

    def __init__(self, norm):
        super().__init__()
        self.norm = norm
        self.head = nn.Linear(3, 2)

    def forward(self, images):
        """Compute logits (B, 2)."""
        return self.head(self.norm(images).flatten(2).mean(2))


def two_modes(assign="sample", num_clusters=2):
    """A layer whose first component sits on dark images, its second on bright ones."""
    norm = UCBNorm(3, num_clusters, assign=assign)
    mean = torch.linspace(DARK, BRIGHT, num_clusters)[:, None].expand(-1, 3) / 255
    norm.running.set_components(mean, torch.full((num_clusters, 3), 0.01))
    return norm


def flat_images(values, side=4, noise=0, seed=0):
    """Images of one brightness each, of 255, with uniform noise around it."""
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.tensor(values)[:, None, None, None].expand(-1, 3, side, side)
    shift = torch.randint(-noise, noise + 1, pixels.shape, generator=generator)
    return TensorImages((pixels + shift).to(torch.uint8))


def planted_subject(source, target, norm=None, labels=(None, None), noise=0, side=4):
    """A network of one layer, and domains of images of given brightness."""
    torch.manual_seed(0)
    samples = {
        name: Sample(flat_images(values, side, noise, seed), seed, label)
        for seed, (name, values, label) in enumerate(
            zip(("source", "target"), (source, target), labels, strict=True)
        )
    }
    network = OneNorm(norm or two_modes())
    return Subject("planted", network, samples, ("zero", "one"))
