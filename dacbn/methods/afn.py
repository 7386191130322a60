"""Adaptive feature norm (AFN), stepwise: features as long in the target as in the source, and long.

Paper: Xu et al., "Larger Norm More Transferable: An Adaptive Feature Norm Approach for Unsupervised
Domain Adaptation", ICCV 2019, https://arxiv.org/abs/1811.07456.

Each sample's features f shall become longer by a step r: the loss is the mean of
(|f| - (|f'| + r))^2 over both domains, where f' are the same features without a gradient.
Differs from the paper: f' is of this step, as in the authors' code, and not of the one before; both
domains weigh the same when their batches differ in size. The loss is always weight * r^2, whatever
is learned: watch the norms, which are logged.
"""

import torch
from torch import Tensor

from dacbn.batch import Output
from dacbn.methods.method import Method, Step, methods
from dacbn.models import Network


@methods.register("afn")
class AFN(Method):
    """Classify the source while the features of all images grow longer, a little every step.

    Args:
        network: what is trained.
        weight: of the loss.
        step: the length that a step asks for.
    """

    def __init__(self, network: Network, weight: float = 0.05, step: float = 1.0) -> None:
        super().__init__(network)
        self.weight = weight
        self.step = step

    def transfer(
        self, source: Output, target: Output, source_labels: Tensor, progress: float
    ) -> Step:
        """Compute the loss that lets the features grow."""
        source_norms, target_norms = feature_norms(source.features), feature_norms(target.features)
        loss = (growth_loss(source_norms, self.step) + growth_loss(target_norms, self.step)) / 2
        metrics = {
            "source_feature_norm": source_norms.detach().mean(),
            "target_feature_norm": target_norms.detach().mean(),
        }
        return Step({"feature_norm": self.weight * loss}, metrics)


def feature_norms(features: Tensor) -> Tensor:
    """Compute the Euclidean norms (B,) of features (B, D)."""
    lengths: Tensor = torch.linalg.vector_norm(features.float(), dim=1)
    return lengths


def growth_loss(norms: Tensor, step: float) -> Tensor:
    """Compute the mean squared distance of norms (B,) to what they are now plus a step."""
    return (norms - (norms.detach() + step)).square().mean()
