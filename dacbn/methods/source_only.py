"""Training on the source only: the baseline."""

from typing import ClassVar

import torch.nn.functional as F

from dacbn.batch import Batch
from dacbn.limits import Fraction
from dacbn.methods.method import Method, Step, accuracy, methods
from dacbn.models import Network


@methods.register("source_only")
class SourceOnly(Method):
    """Minimise the source's cross-entropy; target images are not used.

    Args:
        network: the network to train.
        label_smoothing: share of each label that is distributed evenly over all classes.
    """

    uses_target: ClassVar[bool] = False
    of_predictions: ClassVar[bool] = True
    fewest_sources: ClassVar[int | None] = 1

    def __init__(self, network: Network, label_smoothing: Fraction = 0.0) -> None:
        super().__init__(network)
        self.label_smoothing = label_smoothing

    def forward(self, batch: Batch, progress: float) -> Step:
        """Compute the classification loss of the source images."""
        source = self.forward_source(batch)
        loss = F.cross_entropy(
            source.logits, batch.source_labels, label_smoothing=self.label_smoothing
        )
        return Step(
            {"classification": loss},
            {"source_accuracy": accuracy(source.logits, batch.source_labels)},
        )
