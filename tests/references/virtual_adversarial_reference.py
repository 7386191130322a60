"""Virtual adversarial smoothness of a linear classifier, in float64, from the paper's equations."""

import numpy as np


def softmax(logits):
    """Return probabilities (B, C)."""
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def smoothness(images, weight, bias, direction, radius):
    """Return KL(p(x) || p(x + r)) (B,) after one power iteration.

    Args:
        images: x (B, D).
        weight: (C, D) of logits weight x + bias.
        bias: (C,).
        direction: (B, D), where the iteration starts; its length means nothing.
        radius: length of r, and of the first perturbation.
    """
    p = softmax(images @ weight.T + bias)
    start = radius * direction / np.linalg.norm(direction, axis=1, keepdims=True)
    q = softmax((images + start) @ weight.T + bias)
    # KL has the gradient q - p in the logits
    gradient = (q - p) @ weight
    worst = radius * gradient / np.linalg.norm(gradient, axis=1, keepdims=True)
    q = softmax((images + worst) @ weight.T + bias)
    return (p * np.log(p / q)).sum(1)
