"""Deep CORAL: match the covariances of the domains.

Paper: Sun and Saenko, "Deep CORAL: Correlation Alignment for Deep Domain Adaptation", ECCV
workshops 2016, https://arxiv.org/abs/1607.01719.

The loss is |C_s - C_t|_F^2 / (4 d^2), where C_s and C_t are the unbiased covariances of the d
logits over each domain's batch.
Differs from the paper: the covariance of a single row, which is undefined, is 0.
"""

from typing import ClassVar

import torch
from torch import Tensor

from dacbn.batch import Output
from dacbn.limits import NotNegative
from dacbn.losses import widened
from dacbn.methods.method import Method, Step, methods
from dacbn.models import Network


@methods.register("deep_coral")
class DeepCORAL(Method):
    """Classify the source while matching the covariances of the logits across domains.

    Args:
        network: the network to train.
        weight: weight of the loss; the paper chooses it so that this loss and the classification
            loss are about equal at the end.
    """

    by_pairs: ClassVar[bool] = True
    fewest_sources: ClassVar[int | None] = 2
    of_predictions: ClassVar[bool] = True

    def __init__(self, network: Network, weight: NotNegative = 1.0) -> None:
        super().__init__(network)
        self.weight = weight

    def transfer(
        self, source: Output, target: Output, source_labels: Tensor, progress: float
    ) -> Step:
        """Compute the distance between the covariances of source and target logits.

        Example:
            >>> from dacbn.models import create_network
            >>> method = DeepCORAL(create_network("digits_cnn", "ucb_norm", num_classes=3))
            >>> same = Output(torch.randn(6, 8), torch.randn(6, 3))
            >>> labels = torch.zeros(6, dtype=torch.int64)
            >>> method.transfer(same, same, labels, progress=0.5).losses
            {'coral': tensor(0.)}
        """
        return Step({"coral": self.weight * coral_loss(source.logits, target.logits)}, {})


def coral_loss(source: Tensor, target: Tensor) -> Tensor:
    """Compute the distance between the covariances of rows (B, d) and (B', d)."""
    return (covariance(source) - covariance(target)).square().mean() / 4


def covariance(x: Tensor) -> Tensor:
    """Compute the unbiased covariance (d, d) of rows (B, d)."""
    x = widened(x)
    centred = x - x.mean(0)
    with torch.autocast(x.device.type, enabled=False):
        return centred.T @ centred / max(len(x) - 1, 1)
