"""Minimum class confusion step by step from the paper's equations, in float64."""

import numpy as np


def class_confusion(logits, temperature):
    """Form the weighted confusion matrix (C, C), normalise its rows, and sum what is off diagonal.

    Args:
        logits: (B, C).
        temperature: divides them.
    """
    scaled = np.asarray(logits, dtype=np.float64) / temperature
    p = np.exp(scaled - scaled.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    batch, classes = p.shape
    certainty = [1 + np.exp(sum(value * np.log(value) for value in row)) for row in p]
    weights = np.array([batch * value / sum(certainty) for value in certainty])
    confusion = np.zeros((classes, classes))
    for j in range(classes):
        for k in range(classes):
            confusion[j, k] = sum(weights[i] * p[i, j] * p[i, k] for i in range(batch))
    confusion /= confusion.sum(1, keepdims=True)
    return (confusion.sum() - np.trace(confusion)) / classes


def class_confusion_of_fixed_weights(logits, temperature, weights):
    """Compute the same with weights (B,) that do not follow the logits, for its gradient."""
    scaled = np.asarray(logits, dtype=np.float64) / temperature
    p = np.exp(scaled - scaled.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    confusion = p.T @ np.diag(weights) @ p
    confusion /= confusion.sum(1, keepdims=True)
    return (confusion.sum() - np.trace(confusion)) / p.shape[1]
