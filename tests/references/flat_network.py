"""A network whose samples do not see one another, and batches for it."""

import torch
from torch import nn

from dacbn.batch import Batch
from dacbn.models import Network


class Flat(nn.Module):
    """A backbone without normalisation."""

    head_hidden_size = 6

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(12, 6)

    def forward(self, images):
        """Compute features (B, 6) of images (B, 3, 2, 2)."""
        return self.layer(images.flatten(1)).tanh()


def flat_network(classes=3, scale=1.0, temperature=None):
    """Build a network; `scale` makes its predictions more certain."""
    network = Network(Flat(), classes, classifier_temperature=temperature)
    with torch.no_grad():
        network.classifier.weight.mul_(scale)
    return network


def flat_batch(source=5, target=7, classes=3, labelled=4):
    """Draw a batch with strong views and labelled target images."""
    draw = [torch.rand(count, 3, 2, 2) for count in (source, target, source, target)]
    batch = Batch(draw[0], torch.randint(classes, (source,)), draw[1], draw[2], draw[3])
    return batch._replace(
        labelled_images=torch.rand(labelled, 3, 2, 2),
        labelled_labels=torch.randint(classes, (labelled,)),
    )


def gradients(loss, module):
    """Return the gradient of each parameter, None where there is none."""
    return torch.autograd.grad(
        loss, list(module.parameters()), allow_unused=True, retain_graph=True
    )
