"""Deep adaptation network (DAN): match kernel mean embeddings of the domains.

Paper: Long et al., "Learning Transferable Features with Deep Adaptation Networks", ICML 2015,
https://arxiv.org/abs/1502.02791.

The loss is the squared maximum mean discrepancy of the domains,
E k(s, s') + E k(t, t') - 2 E k(s, t), with k a mean of Gaussian kernels, for the features plus that
for the logits.
Differs from the paper: the unbiased estimate takes all pairs of the batch, where the paper's takes
each sample once; the five kernels weigh the same, and their widths are proportional to the batch's
mean squared distance; the adapted layers are features and logits, which every network here has.
"""

from typing import ClassVar

import torch
from torch import Tensor

from dacbn.batch import Output
from dacbn.limits import NotNegative
from dacbn.methods.mean_discrepancy import gaussian_kernels, squared_mmd
from dacbn.methods.method import Method, Step, methods
from dacbn.models import Network


@methods.register("dan")
class DAN(Method):
    """Classify the source while matching kernel means of features and logits across domains.

    Args:
        network: the network to train.
        weight: weight of the sum of both layers' discrepancies.
    """

    by_pairs: ClassVar[bool] = True
    fewest_sources: ClassVar[int | None] = 2

    def __init__(self, network: Network, weight: NotNegative = 1.0) -> None:
        super().__init__(network)
        self.weight = weight

    def transfer(
        self, source: Output, target: Output, source_labels: Tensor, progress: float
    ) -> Step:
        """Compute the discrepancies of both layers."""
        features = mmd_loss(source.features, target.features)
        logits = mmd_loss(source.logits, target.logits)
        return Step({"mmd": self.weight * (features + logits)}, {})


def mmd_loss(source: Tensor, target: Tensor) -> Tensor:
    """Estimate the squared maximum mean discrepancy of rows (B, D) and (B', D)."""
    return squared_mmd(gaussian_kernels(torch.cat([source, target])), len(source))
