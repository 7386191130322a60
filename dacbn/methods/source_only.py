"""Training on the source alone: the figure that any adaptation has to beat."""

import torch.nn.functional as F

from dacbn.batch import Batch
from dacbn.methods.method import Method, Step, accuracy, methods


@methods.register("source_only")
class SourceOnly(Method):
    """Minimise the source's cross-entropy; the target is never looked at."""

    def forward(self, batch: Batch, progress: float) -> Step:
        """Compute the classification loss of the source images."""
        source = self.forward_source(batch)
        return Step(
            {"classification": F.cross_entropy(source.logits, batch.source_labels)},
            {"source_accuracy": accuracy(source.logits, batch.source_labels)},
        )
