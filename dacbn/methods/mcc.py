"""Minimum class confusion (MCC).

Paper: Jin et al., "Minimum Class Confusion for Versatile Domain Adaptation", ECCV 2020,
https://arxiv.org/abs/1912.03699.

With p_i = softmax(logits_i / T) of the i-th of B target images, and weights
w_i = 1 + exp(-H(p_i)), larger for confident predictions, the confusion of classes j and k is
C_jk = sum_i w_i p_ij p_ik. Each row is divided by its sum; the loss is the mean of the off-diagonal
sums, sum_{j != k} C_jk / num_classes.
Differs from the paper: nothing; as in the authors' code, w_i gets no gradient. (The scale of w
cancels, and C is never built: see `class_confusion`.)
"""

from typing import ClassVar

import torch
from torch import Tensor

from dacbn.batch import Output
from dacbn.limits import NotNegative, Positive
from dacbn.losses import entropy, log_probabilities
from dacbn.methods.method import Method, Step, methods
from dacbn.models import Network


@methods.register("mcc")
class MCC(Method):
    """Classify the source and minimise class confusion on the target.

    Args:
        network: the network to train.
        weight: weight of the confusion.
        temperature: T, by which logits are divided.
    """

    of_predictions: ClassVar[bool] = True

    def __init__(
        self, network: Network, weight: NotNegative = 1.0, temperature: Positive = 2.5
    ) -> None:
        super().__init__(network)
        self.weight = weight
        self.temperature = temperature

    def transfer(
        self, source: Output, target: Output, source_labels: Tensor, progress: float
    ) -> Step:
        """Compute the class confusion of the target predictions."""
        confusion = class_confusion(target.logits, self.temperature)
        return Step({"confusion": self.weight * confusion}, {})


def class_confusion(logits: Tensor, temperature: float) -> Tensor:
    """Compute the mean over classes of the confusion with other classes, from logits (B, C).

    As sum_k p_ik = 1, row j of the confusion sums to sum_i w_i p_ij. Its diagonal entry divided by
    that sum is the mean of p_ij over images with weights w_i p_ij. A softmax over images gives
    these weights without a division by the sum, which underflows for a class that is never
    predicted.
    """
    scaled = log_probabilities(logits) / temperature  # shifted logits in float32
    log_p = log_probabilities(scaled)
    log_weights = torch.log1p(torch.exp(-entropy(scaled))).detach()
    shares = (log_p + log_weights[:, None]).softmax(0)  # (B, C), each column sums to 1
    return 1 - (shares * log_p.exp()).sum(0).mean()
