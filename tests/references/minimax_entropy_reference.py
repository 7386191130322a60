"""S+T and MME written image by image from the equations, in float64."""

import math

import numpy as np


def cosine_logits(features, weight, temperature):
    """Return w_c · f / (‖f‖ temperature) for each feature and class."""
    rows = []
    for f in np.asarray(features, dtype=np.float64):
        length = math.sqrt(sum(value**2 for value in f))
        rows.append([float(np.dot(w, f)) / (length * temperature) for w in weight])
    return np.array(rows)


def _probabilities(row):
    exponentials = [math.exp(value - max(row)) for value in row]
    return [value / sum(exponentials) for value in exponentials]


def cross_entropy(logits, labels):
    """Return the mean of -log p(label)."""
    losses = [-math.log(_probabilities(row)[y]) for row, y in zip(logits, labels, strict=True)]
    return sum(losses) / len(losses)


def entropy(logits):
    """Return the mean entropy of the predictions."""
    entropies = [
        -sum(p * math.log(p) for p in _probabilities(row) if p > 0) for row in np.asarray(logits)
    ]
    return sum(entropies) / len(entropies)


def both(source_logits, source_labels, labelled_logits, labelled_labels):
    """Return the mean of the cross-entropies of the two domains."""
    first = cross_entropy(source_logits, source_labels)
    return (first + cross_entropy(labelled_logits, labelled_labels)) / 2
