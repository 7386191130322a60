"""Move a linear probe to the class centres of both domains, before the first step.

With d_i the direction of the features of the i-th target image, p_i its answer and s_c the mean
direction of the source's features of class c, the centre of class c is

    m_c = s_c / |s_c| + t_c / |t_c|, t_c = sum_i p_i(c) d_i, scaled to length 1,

and the next answers are softmax(k d_i · m_c), ten times over, starting from the probe's. k keeps
the mean entropy of the answers that of the probe, so that the training can still correct them.
Classes may be more or less frequent, but need images in the target: the centre of one without any
is drawn to those of others.

Paper: the centres weighted by answers are those of Liang, Hu and Feng, "Do We Really Need to Access
the Source Data? Source Hypothesis Transfer for Unsupervised Domain Adaptation", ICML 2020,
https://arxiv.org/abs/2002.08546.
Differs from the paper: the source's centres hold those of the target, answers stay soft, and the
centres are the weights of the classifier instead of pseudo-labels in a loss.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dacbn.losses import entropy

ROUNDS = 10
LOG_SCALES = (-20.0, 20.0)  # between which k is searched
HALVINGS = 40


@torch.no_grad()
def move_to_centres(classifier: nn.Linear, source: Tensor, labels: Tensor, target: Tensor) -> bool:
    """Set the weights of a classifier to the class centres of both domains, and its biases to 0.

    Classes without source images keep theirs, as all do if there is one class alone, no target
    image with finite features, or no scale that makes the answers as sure as the probe's.

    Args:
        classifier: a probe on the source; changed in place.
        source: features (N, D), as the classifier takes them.
        labels: of the source, int64 (N,).
        target: features (M, D) of the target.

    Returns:
        Whether it has moved.
    """
    present = torch.unique(labels)
    target = target[target.isfinite().all(1) & target.any(1)]
    if len(present) < 2 or not len(target):
        return False
    weight, bias = classifier.weight.to(target), classifier.bias
    logits = F.linear(target, weight, None if bias is None else bias.to(target))[:, present]
    unsure = entropy(logits).mean()
    of_source = F.normalize((labels == present[:, None]).to(source) @ F.normalize(source))
    directions, centres = F.normalize(target), of_source
    for _ in range(ROUNDS):
        of_target = F.normalize(logits.softmax(1).T @ directions)
        centres = F.normalize(of_source + of_target)
        logits = _as_unsure(directions @ centres.T, unsure)[0]
    _, scale = _as_unsure(target @ centres.T, unsure)
    if not scale < math.exp(LOG_SCALES[1] - 1):
        return False
    classifier.weight[present] = (scale * centres).to(classifier.weight)
    if bias is not None:
        bias[present] = 0
    return True


def _as_unsure(logits: Tensor, unsure: Tensor) -> tuple[Tensor, float]:
    """Scale logits (M, C) so that their mean entropy is this, in nats; return the factor too."""
    low, high = LOG_SCALES
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if entropy(math.exp(middle) * logits).mean() > unsure:
            low = middle
        else:
            high = middle
    scale = math.exp(high)
    return scale * logits, scale
