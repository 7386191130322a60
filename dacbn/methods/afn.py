"""Adaptive feature norm (AFN), stepwise: feature norms grow, equally in both domains.

Paper: Xu et al., "Larger Norm More Transferable: An Adaptive Feature Norm Approach for Unsupervised
Domain Adaptation", ICCV 2019, https://arxiv.org/abs/1811.07456.

The norm of each sample's features f is to grow by a step r: the loss is the mean of
(|f| - (|f'| + r))^2 over both domains, where f' are the same features without a gradient. Its value
is always weight * r^2, regardless of what is learned: see the logged norms instead.
Differs from the paper: f' is of the current step, as in the authors' code, and not of the previous
one; both domains weigh the same when their batches differ in size.
"""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from dacbn.batch import Output, join_domains
from dacbn.limits import NotNegative
from dacbn.losses import widened
from dacbn.methods.method import Method, Step, methods
from dacbn.models import Network


@methods.register("afn")
class AFN(Method):
    """Classify the source while the feature norms of all images grow a little every step.

    Args:
        network: the network to train.
        weight: weight of the loss.
        step: growth r of the norms.
    """

    fewest_sources: ClassVar[int | None] = 1

    def __init__(
        self, network: Network, weight: NotNegative = 0.05, step: NotNegative = 1.0
    ) -> None:
        super().__init__(network)
        self.weight = weight
        self.step = step

    def transfer_domains(
        self,
        sources: Sequence[Output],
        targets: Sequence[Output],
        source_labels: Tensor,
        progress: float,
    ) -> Step:
        """Compute the loss that makes feature norms grow, of all sources and of all targets."""
        roles = {"source": sources, "target": targets}
        norms = {
            role: feature_norms(join_domains(outputs).features)
            for role, outputs in roles.items()
            if outputs
        }
        losses = [growth_loss(each, self.step) for each in norms.values()]
        metrics = {f"{role}_feature_norm": each.detach().mean() for role, each in norms.items()}
        return Step({"feature_norm": self.weight * torch.stack(losses).mean()}, metrics)


def feature_norms(features: Tensor) -> Tensor:
    """Compute the Euclidean norms (B,) of features (B, D)."""
    lengths: Tensor = torch.linalg.vector_norm(widened(features), dim=1)
    return lengths


def growth_loss(norms: Tensor, step: float) -> Tensor:
    """Compute the mean squared difference of norms (B,) to their current values plus a step."""
    return (norms - (norms.detach() + step)).square().mean()
