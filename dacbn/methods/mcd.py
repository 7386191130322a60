"""Maximum classifier discrepancy (MCD): two classifiers of the source agree on the target too.

Paper: Saito et al., "Maximum Classifier Discrepancy for Unsupervised Domain Adaptation", CVPR 2018,
https://arxiv.org/abs/1712.02560.

Two more classifiers learn the source, and to disagree on the target; the features learn to make
them agree there, and so to stay clear of the boundaries of both. With p and q their softmaxes, the
discrepancy is d = mean |p - q| over target images and classes; the losses are both classifiers'
cross-entropies in the source, and -d, whose gradient reaches the features reversed.
Differs from the paper: its three steps (learn the source; change the classifiers; change the
features, n = 4 times) are one backward pass, as in the authors' one-step variant; `weight` takes
the place of n. The predictions are the network's own classifier's, which learns the source on the
same features, and not those of the two that disagree.
"""

import torch.nn.functional as F
from torch import Tensor

from dacbn.batch import Output
from dacbn.methods.gradient_reversal import reverse_gradient
from dacbn.methods.method import Method, Step, methods
from dacbn.models import Network, mlp


@methods.register("mcd")
class MCD(Method):
    """Classify the source while two classifiers that try to differ on the target cannot.

    Args:
        network: what is trained.
        weight: how much stronger the features' gradient is than the classifiers'.
        head: widths of the two classifiers' hidden layers.
    """

    def __init__(
        self, network: Network, weight: float = 4.0, head: tuple[int, ...] = (1024,)
    ) -> None:
        super().__init__(network)
        self.weight = weight
        self.first = mlp(network.num_features, head, network.num_classes)
        self.second = mlp(network.num_features, head, network.num_classes)

    def transfer(
        self, source: Output, target: Output, source_labels: Tensor, progress: float
    ) -> Step:
        """Compute both classifiers' losses; the discrepancy reaches the features reversed."""
        first = F.cross_entropy(self.first(source.features), source_labels)
        second = F.cross_entropy(self.second(source.features), source_labels)
        features = reverse_gradient(target.features, self.weight)
        difference = discrepancy(self.first(features), self.second(features))
        return Step({"two_classifiers": first + second, "discrepancy": -difference}, {})


def discrepancy(first: Tensor, second: Tensor) -> Tensor:
    """Compute the mean absolute difference of the softmaxes of two logits (B, C)."""
    return (first.float().softmax(1) - second.float().softmax(1)).abs().mean()
