"""Partial adversarial adaptation (PADA): weights for the classes of the source.

Paper: Cao et al., "Partial Adversarial Domain Adaptation", ECCV 2018,
https://arxiv.org/abs/1808.04205.

If the target has only some of the source's classes, images of the others must not be aligned with
it. With p(x) the predicted probabilities, each class weighs w = mean of p(x) over the target,
divided by the largest of these; the weight of its label multiplies the classification loss of a
source image, and its part of the domain loss in a sum such as "dann + pada" or "cdan + pada".
Differs from the paper: the mean moves with the batches, by `momentum`, where the paper computes it
over all of the target every so many steps; it starts as the same for all classes, as there.
"""

from collections.abc import Sequence
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from dacbn.batch import Output
from dacbn.limits import UP_TO_1
from dacbn.losses import log_probabilities
from dacbn.methods.method import Method, Step, methods
from dacbn.models import Network


@methods.register("pada")
class PADA(Method):
    """Let source images of classes that the target seems to lack count less, in sums with others.

    Args:
        network: the network to train.
        momentum: share of each batch in the mean of the target's predictions.
    """

    target_lacks_classes: ClassVar[bool] = True

    class_shares: Tensor

    def __init__(self, network: Network, momentum: Annotated[float, UP_TO_1] = 0.02) -> None:
        super().__init__(network)
        self.momentum = momentum
        classes = network.num_classes
        self.register_buffer("class_shares", torch.full((classes,), 1 / classes))

    @torch.no_grad()
    def weigh_source(self, target: Output, source_labels: Tensor) -> Tensor:
        """Take in the predictions on the target, and return the weight of each label (B,)."""
        if self.training:
            mean = log_probabilities(target.logits).exp().mean(0)
            self.class_shares.lerp_(mean.to(self.class_shares.dtype), self.momentum)
        return (self.class_shares / self.class_shares.max())[source_labels]

    def transfer_domains(
        self,
        sources: Sequence[Output],
        targets: Sequence[Output],
        source_labels: Tensor,
        progress: float,
    ) -> Step:
        """Add no loss; the weights enter those of other methods."""
        weights = (self.class_shares / self.class_shares.max())[source_labels]
        return Step({}, {"source_weight": weights.mean()})
