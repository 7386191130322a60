"""Networks whose layers share one gate, their images, and what each layer assigns."""

import torch
from torch import nn

from dacbn.models import convert_norms
from dacbn.norms import UCBNorm

SHARED = "ucb_norm(num_clusters=2, assign='sample', gate='shared')"
OWN = "ucb_norm(num_clusters=2, assign='sample')"


class TwoStages(nn.Module):
    """Two convolutions with BatchNorms, registered in the order that they do not run in."""

    def __init__(self):
        super().__init__()
        self.late = nn.BatchNorm2d(3)
        self.early = nn.BatchNorm2d(2)
        self.conv = nn.Conv2d(3, 2, 1, bias=False)
        self.next = nn.Conv2d(2, 3, 1, bias=False)

    def forward(self, images):
        """Run both stages."""
        return self.second(self.first(images))

    def first(self, images):
        """Run the stage whose normaliser assigns."""
        return self.early(self.conv(images)).tanh()

    def second(self, activations):
        """Run the stage whose normaliser takes over."""
        return self.late(self.next(activations))


def images(samples=6, seed=0, apart=2.0):
    """Draw images of two kinds in turn, (N, 3, 1, 2)."""
    noise = torch.randn(samples, 3, 1, 2, generator=torch.Generator().manual_seed(seed))
    return noise + apart * (torch.arange(samples) % 2)[:, None, None, None]


def converted(norm=SHARED, clusters=2):
    torch.manual_seed(5)
    model = TwoStages()
    convert_norms(model, norm, num_clusters=clusters)
    model(images(8, seed=1)), model(images(8, seed=2))  # components apart, all state moved
    return model


def photos(samples=12):
    """Draw images (N, 3, 32, 32), every other of which is bright."""
    return torch.rand(samples, 3, 32, 32) + 2 * (torch.arange(samples) % 2)[:, None, None, None]


def assigned_by(model, x):
    """Return p(k | image) of each layer, (K, N) by name, in the order in which they run."""
    found, handles = {}, []
    for name, layer in model.named_modules():
        if isinstance(layer, UCBNorm):

            def hook(layer, inputs, _, name=name):
                found[name] = layer.assignments(inputs[0].flatten(2))[:, :, 0, 0]

            handles.append(layer.register_forward_hook(hook))
    model(x)
    for handle in handles:
        handle.remove()
    return found
