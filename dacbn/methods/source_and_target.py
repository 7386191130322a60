"""Training on the source and a few labelled target images: the baseline S+T.

Paper: Saito, Kim, Sclaroff, Darrell and Saenko, "Semi-supervised Domain Adaptation via Minimax
Entropy", ICCV 2019, https://arxiv.org/abs/1904.06487, which calls it S+T.

The loss is the mean of two cross-entropies, that of the source images and that of the labelled
target images, so that these count as much although they are few. Both go through the network in one
pass; unlabelled target images are not used.
Differs from the paper: its batches have as many labelled images of each domain, where this is the
mean over all of them; here the sizes may differ. Its classifier is that of MME, which
`classifier_temperature=0.05` chooses.
"""

from typing import ClassVar

import torch.nn.functional as F

from dacbn.batch import Batch, Output
from dacbn.methods.method import Method, Step, accuracy, methods


@methods.register("source_and_target")
class SourceAndTarget(Method):
    """Minimise the cross-entropy of the source and of a few labelled target images.

    Args:
        network: the network to train.
    """

    takes_labelled_target: ClassVar[bool] = True
    uses_target: ClassVar[bool] = False
    of_predictions: ClassVar[bool] = True

    def forward(self, batch: Batch, progress: float) -> Step:
        """Compute the classification loss of the labelled images of both domains."""
        source, labelled = self.forward_together(batch.source, batch.labelled_target)
        return classify(source, labelled, batch)


def classify(source: Output, labelled: Output, batch: Batch) -> Step:
    """Compute the classification loss of source and labelled target images, of equal weight.

    Args:
        source: outputs of the source images.
        labelled: outputs of the labelled target images.
        batch: has their labels.
    """
    _, labels = batch.labelled
    of_source = F.cross_entropy(source.logits, batch.source_labels)
    of_labelled = F.cross_entropy(labelled.logits, labels)
    metrics = {
        "source_accuracy": accuracy(source.logits, batch.source_labels),
        "labelled_accuracy": accuracy(labelled.logits, labels),
    }
    return Step({"classification": (of_source + of_labelled) / 2}, metrics)
