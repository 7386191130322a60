"""FixMatch: confident predictions on weak views are labels for strong views.

Paper: Sohn et al., "FixMatch: Simplifying Semi-Supervised Learning with Consistency and
Confidence", NeurIPS 2020, https://arxiv.org/abs/2001.07685.

With q_i the prediction for the weak view of target image i, without gradient, and p_i that for its
strong view, the loss is weight * mean_i [max q_i >= threshold] * -log p_i(argmax q_i).
Differs from the paper: nothing in the losses; the labelled images are the source's, the unlabelled
ones the target's.
"""

from typing import ClassVar

import torch
import torch.nn.functional as F

from dacbn.batch import Batch
from dacbn.limits import Fraction, NotNegative
from dacbn.losses import log_probabilities, pseudo_label_loss
from dacbn.methods.method import Method, Step, accuracy, methods
from dacbn.models import Network


@methods.register("fixmatch")
class FixMatch(Method):
    """Learn confident predictions of weak target views as labels of strong ones.

    Args:
        network: the network to train.
        weight: weight of the pseudo-label loss.
        threshold: smallest probability of a prediction that is used as a label.
    """

    wants_strong_views: ClassVar[bool] = True

    def __init__(
        self, network: Network, weight: NotNegative = 1.0, threshold: Fraction = 0.95
    ) -> None:
        super().__init__(network)
        self.weight = weight
        self.threshold = threshold

    def forward(self, batch: Batch, progress: float) -> Step:
        """Compute both losses from one pass of source, weak and strong target views."""
        assert batch.target_strong is not None
        views = torch.cat([batch.target_images, batch.target_strong])
        source, target = self.forward_both(batch._replace(target_images=views))
        weak, strong = target.logits.chunk(2)
        confidence, labels = log_probabilities(weak.detach()).exp().max(1)
        confident = confidence >= self.threshold
        losses = {
            "classification": F.cross_entropy(source.logits, batch.source_labels),
            "pseudo_label": self.weight * pseudo_label_loss(strong, labels, confident),
        }
        metrics = {
            "source_accuracy": accuracy(source.logits, batch.source_labels),
            "confident": confident.float().mean(),
        }
        return Step(losses, metrics)
