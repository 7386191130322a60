"""Images of known classes, as a point each: p(x|y) is known, and so is the Bayes rule."""

import numpy as np
import torch

from dacbn.label_shift import HeldOut


def draw_logits(drawn, prior, count, distance=2.5, trained=None):
    """Draw points of normal classes, and what an ideal classifier says of them.

    Args:
        drawn: random numbers.
        prior: shares of the classes (C,).
        count: points N.
        distance: of the mean of each class from 0, along an axis of its own.
        trained: shares that the classifier was trained with, by default equal ones.

    Returns:
        log p(y|x) + constant, float64 (N, C), and labels, int64 (N,).
    """
    classes = len(prior)
    labels = drawn.choice(classes, count, p=prior)
    points = drawn.normal(size=(count, classes)) + distance * np.eye(classes)[labels]
    trained = np.full(classes, 1 / classes) if trained is None else trained
    return distance * points + np.log(trained), labels


def to_held_out(logits, labels):
    """Make float32 outputs on held-out images."""
    return HeldOut(torch.from_numpy(logits).float(), torch.from_numpy(labels))


def softmax(logits):
    """Compute probabilities (N, C) in plain NumPy."""
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)
