"""Validators written image by image from their definitions, in float64, and planted inputs."""

import numpy as np
import torch
from scipy.special import softmax
from scipy.stats import entropy

from dacbn.batch import Output
from dacbn.training import ValidatorInputs


def draw_inputs(source=40, target=30, classes=4, features=6, seed=0):
    """Draw outputs without any structure."""
    g = torch.Generator().manual_seed(seed)
    outputs = [
        Output(torch.randn(n, features, generator=g), 2 * torch.randn(n, classes, generator=g))
        for n in (source, target)
    ]
    return ValidatorInputs(outputs[0], torch.randint(classes, (source,), generator=g), outputs[1])


def plant(mixed, count=120, classes=4, seed=0):
    """Plant classes that the source tells apart, and the target to a degree.

    Args:
        mixed: how far target images lie from their class towards another one; 0.5 is halfway.
        count: images of each domain.
        classes: around the corners of a simplex.
        seed: of the noise.
    """
    g = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % classes
    towards = (labels + 1 + torch.randint(classes - 1, (count,), generator=g)) % classes
    corners = 4 * torch.eye(classes)

    def outputs(centres):
        features = centres + 0.3 * torch.randn(count, classes, generator=g)
        return Output(features, 2 * features)

    degree = mixed * torch.rand(count, 1, generator=g)
    target = (1 - degree) * corners[labels] + degree * corners[towards]
    return ValidatorInputs(outputs(corners[labels]), labels, outputs(target))


def neighbourhood_density(logits, temperature=0.05):
    """Average the entropy of each image's closeness to every other one."""
    p = softmax(logits.double().numpy(), 1)
    p /= np.linalg.norm(p, axis=1, keepdims=True)
    entropies = []
    for i, own in enumerate(p):
        others = [q for j, q in enumerate(p) if j != i]
        cosines = [own @ q for q in others]
        entropies.append(entropy(softmax(np.array(cosines) / temperature)))
    return np.mean(entropies)


def nearest_source_accuracy(inputs):
    """Look up every target image's nearest source image by the angle."""
    source, target = inputs.source.features.numpy(), inputs.target.features.numpy()
    right = inputs.source.logits.argmax(1).numpy() == inputs.source_labels.numpy()
    scores = []
    for point in target.astype(np.float64):
        lengths = np.linalg.norm(source, axis=1) * np.linalg.norm(point)
        cosines = source.astype(np.float64) @ point / lengths
        nearest = np.argmax(cosines)
        scores.append(right[nearest] * max(cosines[nearest], 0))
    return np.mean(scores)
