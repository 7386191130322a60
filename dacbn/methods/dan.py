"""Deep adaptation network (DAN): the same kernel means in both domains.

Paper: Long et al., "Learning Transferable Features with Deep Adaptation Networks", ICML 2015,
https://arxiv.org/abs/1502.02791.

For the features and for the logits, the squared maximum mean discrepancy of the domains,
E k(s, s') + E k(t, t') - 2 E k(s, t), with a mean of Gaussian kernels k.
Differs from the paper: the unbiased estimate takes all pairs of the batch, where the paper's takes
each sample once; the five kernels weigh the same, and their widths follow the batch's mean squared
distance; the adapted layers are the two that every network here has.
"""

import torch
from torch import Tensor

from dacbn.batch import Output
from dacbn.methods.mean_discrepancy import gaussian_kernels, squared_mmd
from dacbn.methods.method import Method, Step, methods
from dacbn.models import Network


@methods.register("dan")
class DAN(Method):
    """Classify the source while kernel means of features and logits agree between the domains.

    Args:
        network: what is trained.
        weight: of the sum of both layers' discrepancies.
    """

    def __init__(self, network: Network, weight: float = 1.0) -> None:
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
    """Estimate the squared discrepancy of rows (B, D) and (B', D)."""
    return squared_mmd(gaussian_kernels(torch.cat([source, target])), len(source))
