"""Entropy minimisation: confident target predictions.

Paper: Grandvalet and Bengio, "Semi-supervised Learning by Entropy Minimization", NIPS 2004,
https://papers.nips.cc/paper/2740-semi-supervised-learning-by-entropy-minimization.

With p_i the prediction of the i-th of B target images, the loss is weight * mean_i H(p_i),
H(p) = -sum_c p_c log p_c: decision boundaries move to regions with few target images.
Differs from the paper: the mean over the batch instead of the sum over all samples, so that the
weight does not depend on their number; the weight rises from 0 to `weight` with DANN's schedule,
because a constant one can collapse to a single class. The default weight is VADA's; AutoDIAL and
domain-specific whitening use 0.1.
"""

from typing import ClassVar

from torch import Tensor

from dacbn.batch import Output
from dacbn.limits import NotNegative
from dacbn.losses import entropy
from dacbn.methods.dann import adversarial_strength
from dacbn.methods.method import Method, Step, methods
from dacbn.models import Network


@methods.register("minimum_entropy")
class MinimumEntropy(Method):
    """Classify the source, and make target predictions confident.

    Args:
        network: the network to train.
        weight: weight of the target's entropy at the end of training.
    """

    of_predictions: ClassVar[bool] = True

    def __init__(self, network: Network, weight: NotNegative = 0.01) -> None:
        super().__init__(network)
        self.weight = weight

    def transfer(
        self, source: Output, target: Output, source_labels: Tensor, progress: float
    ) -> Step:
        """Compute the mean entropy of the target predictions."""
        target_entropy = entropy(target.logits).mean()
        strength = self.weight * adversarial_strength(progress)
        return Step(
            {"entropy": strength * target_entropy}, {"target_entropy": target_entropy.detach()}
        )
