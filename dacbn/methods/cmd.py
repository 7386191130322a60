"""Central moment discrepancy (CMD): match the central moments of each feature.

Paper: Zellinger et al., "Central Moment Discrepancy (CMD) for Domain-Invariant Representation
Learning", ICLR 2017, https://arxiv.org/abs/1702.08811.

With features in [a, b], the loss is |m_s - m_t| / |b - a| + sum over k = 2 … K of
|c_k(s) - c_k(t)| / |b - a|^k, where m are the means and c_k the k-th central moments of all
features over each domain's batch, and |.| is the Euclidean norm.
Differs from the paper: the features of a backbone are unbounded, so the moments of their tanh, in
[-1, 1], are compared; the classifier receives the features themselves.
"""

from typing import ClassVar

import torch
from torch import Tensor

from dacbn.batch import Output
from dacbn.limits import Count, NotNegative
from dacbn.losses import widened
from dacbn.methods.method import Method, Step, methods
from dacbn.models import Network

WIDTH = 2  # of the interval [-1, 1], the range of tanh


@methods.register("cmd")
class CMD(Method):
    """Classify the source while the moments of each feature agree between the domains.

    Args:
        network: the network to train.
        weight: weight of the discrepancy.
        moments: the order K of the highest moment.
    """

    by_pairs: ClassVar[bool] = True
    fewest_sources: ClassVar[int | None] = 2

    def __init__(self, network: Network, weight: NotNegative = 1.0, moments: Count = 5) -> None:
        super().__init__(network)
        self.weight = weight
        self.moments = moments

    def transfer(
        self, source: Output, target: Output, source_labels: Tensor, progress: float
    ) -> Step:
        """Compute the discrepancy between the moments of source and target features."""
        loss = moment_discrepancy(source.features, target.features, self.moments)
        return Step({"moment_discrepancy": self.weight * loss}, {})


def moment_discrepancy(source: Tensor, target: Tensor, moments: int) -> Tensor:
    """Compute the moment discrepancy between the tanh of features (B, D) and (B', D)."""
    source, target = widened(source).tanh(), widened(target).tanh()
    source_mean, target_mean = source.mean(0), target.mean(0)
    source, target = source - source_mean, target - target_mean
    loss: Tensor = torch.linalg.vector_norm(source_mean - target_mean) / WIDTH
    for k in range(2, moments + 1):
        difference = source.pow(k).mean(0) - target.pow(k).mean(0)
        loss = loss + torch.linalg.vector_norm(difference) / WIDTH**k
    return loss
