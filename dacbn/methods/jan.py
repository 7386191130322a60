"""Joint adaptation network (JAN): match the joint distribution of features and predictions.

Paper: Long et al., "Deep Transfer Learning with Joint Adaptation Networks", ICML 2017,
https://arxiv.org/abs/1605.06636.

The loss is the squared maximum mean discrepancy under the product of a kernel of the features and
one of the softmax, which compares joint distributions. Its weight rises with DANN's schedule.
Differs from the paper: the unbiased estimate takes all pairs of the batch, where the paper's takes
each sample once; each kernel is the mean of five Gaussians with widths around the batch's mean
squared distance, and not a single one at the median.
"""

from typing import ClassVar

import torch
from torch import Tensor

from dacbn.batch import Output
from dacbn.limits import NotNegative
from dacbn.losses import widened
from dacbn.methods.dann import adversarial_strength
from dacbn.methods.mean_discrepancy import gaussian_kernels, squared_mmd
from dacbn.methods.method import Method, Step, methods
from dacbn.models import Network


@methods.register("jan")
class JAN(Method):
    """Classify the source while matching features and predictions jointly across domains.

    Args:
        network: the network to train.
        weight: weight of the discrepancy at the end of training.
    """

    by_pairs: ClassVar[bool] = True
    fewest_sources: ClassVar[int | None] = 2

    def __init__(self, network: Network, weight: NotNegative = 1.0) -> None:
        super().__init__(network)
        self.weight = weight

    def transfer(
        self, source: Output, target: Output, source_labels: Tensor, progress: float
    ) -> Step:
        """Compute the joint discrepancy of features and predictions."""
        loss = joint_mmd_loss(source.features, source.logits, target.features, target.logits)
        return Step({"joint_mmd": self.weight * adversarial_strength(progress) * loss}, {})


def joint_mmd_loss(
    source_features: Tensor, source_logits: Tensor, target_features: Tensor, target_logits: Tensor
) -> Tensor:
    """Estimate the squared joint discrepancy of features (B, D) and softmax of logits (B, C)."""
    features = gaussian_kernels(torch.cat([source_features, target_features]))
    predictions = gaussian_kernels(widened(torch.cat([source_logits, target_logits])).softmax(1))
    return squared_mmd(features * predictions, len(source_features))
