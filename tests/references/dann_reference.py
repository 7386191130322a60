"""DANN's losses written sample by sample from the equations, in float64."""

import math


def cross_entropy(logits, labels):
    """Return the mean of -log softmax(logits)[label]."""
    terms = []
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        highest = max(row)
        total = sum(math.exp(value - highest) for value in row)
        terms.append(math.log(total) + highest - row[label])
    return sum(terms) / len(terms)


def domain_cross_entropy(source_logits, target_logits):
    """Return the mean over domains of the mean -log p(own domain), p = sigmoid of "is target"."""
    source = [-math.log(1 - 1 / (1 + math.exp(-value))) for value in source_logits.tolist()]
    target = [-math.log(1 / (1 + math.exp(-value))) for value in target_logits.tolist()]
    return 0.5 * (sum(source) / len(source) + sum(target) / len(target))
