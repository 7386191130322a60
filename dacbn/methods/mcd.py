"""Maximum classifier discrepancy (MCD): two source classifiers must agree on the target.

Paper: Saito et al., "Maximum Classifier Discrepancy for Unsupervised Domain Adaptation", CVPR 2018,
https://arxiv.org/abs/1712.02560.

Two additional classifiers learn the source and maximise their disagreement on the target; the
features minimise it, which keeps target features away from the decision boundaries. With p and q
their softmaxes, the discrepancy is d = mean |p - q| over target images and classes; the losses are
both classifiers' cross-entropies on the source, and -d, whose gradient reaches the features
reversed.
Differs from the paper: its three steps (learn the source; update the classifiers; update the
features, n = 4 times) are one backward pass, as in the authors' one-step variant; `weight` replaces
n. Predictions come from the network's own classifier, which learns the source on the same features,
and not from the two additional ones.
"""

import torch.nn.functional as F
from torch import Tensor

from dacbn.batch import Output
from dacbn.limits import Count, NotNegative
from dacbn.losses import widened
from dacbn.methods.gradient_reversal import reverse_gradient
from dacbn.methods.method import Method, Step, methods
from dacbn.models import Network, mlp


@methods.register("mcd")
class MCD(Method):
    """Classify the source; two classifiers maximise their disagreement, the features minimise it.

    Args:
        network: the network to train.
        weight: factor on the reversed gradient that reaches the features.
        head: widths of the two classifiers' hidden layers.
    """

    def __init__(
        self, network: Network, weight: NotNegative = 4.0, head: tuple[Count, ...] = (1024,)
    ) -> None:
        super().__init__(network)
        self.weight = weight
        self.first = mlp(network.num_features, head, network.num_classes)
        self.second = mlp(network.num_features, head, network.num_classes)

    def transfer(
        self, source: Output, target: Output, source_labels: Tensor, progress: float
    ) -> Step:
        """Compute both classifiers' losses; the discrepancy reaches the features reversed."""
        features = source.features, reverse_gradient(target.features, self.weight)
        of_source, of_target = zip(
            self.first.of_each(features), self.second.of_each(features), strict=True
        )
        first, second = (F.cross_entropy(each, source_labels) for each in of_source)
        return Step(
            {"two_classifiers": first + second, "discrepancy": -discrepancy(*of_target)}, {}
        )


def discrepancy(first: Tensor, second: Tensor) -> Tensor:
    """Compute the mean absolute difference of the softmaxes of two logits (B, C)."""
    return (widened(first).softmax(1) - widened(second).softmax(1)).abs().mean()
