"""Losses of CDAN, MDD and MCD written sample by sample from the equations, in float64."""

import math

import numpy as np
from discrepancy_reference import softmax
from torch import nn


def run(head, rows):
    """Run a head of linear layers and ReLUs on rows (B, D)."""
    x = np.asarray(rows, dtype=np.float64)
    for layer in head:
        if isinstance(layer, nn.Linear):
            x = x @ layer.weight.detach().double().numpy().T + layer.bias.detach().double().numpy()
        else:
            x = np.maximum(x, 0)
    return x


def _entropy(p):
    return -sum(q * math.log(q) for q in p if q > 0)


def conditional_domain(head, source, target, entropy=False):
    """Return the mean over domains of the weighted mean of -log p(own domain)."""
    means = []
    for output, is_target in ((source, False), (target, True)):
        losses, weights = [], []
        for f, g in zip(output.features.detach().double(), softmax(output.logits), strict=True):
            joint = [g_c * f_d for g_c in g for f_d in f.tolist()]
            p = 1 / (1 + math.exp(-run(head, [joint])[0, 0]))
            losses.append(-math.log(p if is_target else 1 - p))
            weights.append(1 + math.exp(-_entropy(g)) if entropy else 1.0)
        means.append(np.average(losses, weights=weights))
    return sum(means) / 2


def margin_disparity(source_logits, source_labels, target_logits, target_labels, margin):
    """Return margin * mean of -log p_y in the source + mean of -log(1 - p_y) in the target."""
    of_source = [
        -math.log(p[y]) for p, y in zip(softmax(source_logits), source_labels, strict=True)
    ]
    of_target = [
        -math.log(1 - p[y]) for p, y in zip(softmax(target_logits), target_labels, strict=True)
    ]
    return margin * sum(of_source) / len(of_source) + sum(of_target) / len(of_target)


def discrepancy(first, second):
    """Return the mean over samples and classes of |p - q|."""
    return np.abs(softmax(first) - softmax(second)).mean()
