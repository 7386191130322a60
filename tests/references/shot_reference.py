"""SHOT's losses and pseudo-labels written image by image from the paper, in float64."""

import math

import numpy as np
from discrepancy_reference import softmax


def cosine(a, b):
    """Return the cosine of the angle between two vectors."""
    return float(a @ b / math.sqrt(float(a @ a) * float(b @ b)))


def pseudo_labels(features, logits):
    """Label images (N, D) by the nearest centre, from predictions and then from labels."""
    f = np.asarray(features.detach(), dtype=np.float64)
    f = np.stack([row / math.sqrt(float(row @ row)) for row in f])
    weights, labels = softmax(logits), []
    for _ in range(2):
        classes = [k for k in range(weights.shape[1]) if weights[:, k].sum() > 0]
        centres = {
            k: sum(w * row for w, row in zip(weights[:, k], f, strict=True)) for k in classes
        }
        labels = [max(classes, key=lambda k: cosine(row, centres[k])) for row in f]
        weights = np.eye(weights.shape[1])[labels]
    return labels


def losses(logits, labels, weight):
    """Return mean H(p) - H(mean p), and the weighted cross-entropy with the labels."""
    p = softmax(logits)
    certainty = np.mean([-sum(q * math.log(q) for q in row) for row in p])
    mean = p.mean(0)
    diversity = -sum(q * math.log(q) for q in mean)
    picked = [-math.log(row[label]) for row, label in zip(p, labels, strict=True)]
    return certainty - diversity, weight * sum(picked) / len(picked)
