"""Batch nuclear-norm maximisation (BNM).

Paper: Cui et al., "Towards Discriminability and Diversity: Batch Nuclear-norm Maximization under
Label Insufficient Situations", CVPR 2020, https://arxiv.org/abs/2003.12237.

With P (B, C) the predictions of B target images, the loss is -weight * ||P||_* / B, the sum of the
singular values of P. The nuclear norm is large where predictions are confident and diverse; its
largest value for B images and C classes, divided by B, is sqrt(min(B, C) / B).
Differs from the paper: nothing.
"""

from typing import ClassVar

import torch
from torch import Tensor

from dacbn.batch import Output
from dacbn.limits import NotNegative
from dacbn.losses import log_probabilities
from dacbn.methods.method import Method, Step, methods
from dacbn.models import Network


@methods.register("bnm")
class BNM(Method):
    """Classify the source, and maximise the nuclear norm of the matrix of target predictions.

    Args:
        network: the network to train.
        weight: weight of the nuclear norm.
    """

    of_predictions: ClassVar[bool] = True

    def __init__(self, network: Network, weight: NotNegative = 1.0) -> None:
        super().__init__(network)
        self.weight = weight

    def transfer(
        self, source: Output, target: Output, source_labels: Tensor, progress: float
    ) -> Step:
        """Compute minus the nuclear norm of the target predictions, per image."""
        norm = mean_nuclear_norm(target.logits)
        return Step({"nuclear_norm": -self.weight * norm}, {})


def mean_nuclear_norm(logits: Tensor) -> Tensor:
    """Compute the nuclear norm of softmax(logits), divided by the B rows of logits (B, C)."""
    # svdvals raises on NaN; let it pass, so that the loop reports which loss diverged
    probabilities = log_probabilities(logits).exp().nan_to_num()
    singular_values: Tensor = torch.linalg.svdvals(probabilities)
    return singular_values.sum() / len(logits)
