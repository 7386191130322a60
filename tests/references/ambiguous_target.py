"""A target that no unlabelled method can read: two clusters, and nothing says which is which.

The source's classes lie left and right; the target's lie above and below. The source is symmetric
about the line between the target's clusters, so that they fit either naming equally well, and a
label for each decides.
"""

import torch
from planted_rotation import PlaneNetwork

from dacbn.batch import Batch
from dacbn.methods import methods
from dacbn.models import Network


def draw_points(count, upright, generator):
    """Draw points (count, 3, 1, 1) in [0, 1] and their labels."""
    labels = torch.arange(count) % 2
    sides = 0.35 * (2 * labels - 1.0)
    centres = torch.zeros(count, 3)
    centres[:, int(upright)] = sides
    points = 0.5 + centres + 0.04 * torch.randn(count, 3, generator=generator)
    return points[..., None, None], labels


def accuracy_after(method, flipped, steps=100, seed=0):
    """Train a method by name; return its accuracy on the target.

    Args:
        method: its name.
        flipped: name the target's clusters the other way round.
        steps: steps of training.
        seed: seed of weights and points; the same points for both namings.
    """
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    temperature = methods[method.partition("(")[0]].classifier_temperature
    network = Network(PlaneNetwork(), 2, classifier_temperature=temperature)
    trained = methods.build(method, network)
    optimizer = torch.optim.Adam(trained.parameters(), lr=0.01)
    few, few_labels = draw_points(2, True, generator)
    for step in range(steps):
        source, labels = draw_points(32, False, generator)
        target, _ = draw_points(32, True, generator)
        batch = Batch(
            *(source, labels, target, source, target),
            labelled_images=few,
            labelled_labels=1 - few_labels if flipped else few_labels,
        )
        losses = trained(batch, step / steps).losses
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
    points, labels = draw_points(300, True, generator)
    predicted = trained.network.eval()(points).logits.argmax(1)
    return (predicted == (1 - labels if flipped else labels)).float().mean().item()
