"""AdaMatch: pseudo-labels with the source's class distribution and a relative threshold.

Paper: Berthelot et al., "AdaMatch: A Unified Approach to Semi-Supervised Learning and Domain
Adaptation", ICLR 2022, https://arxiv.org/abs/2106.04732.

Weak and strong views of both domains pass through the network together (logits z), those of the
source also alone (logits z'); each source logit becomes z + u (z' - z) with u uniform in [0, 1].
Target predictions q_i of weak views are multiplied, class by class, by the running mean of source
predictions divided by that of target predictions, and normalised to sum to one; y_i = argmax q_i.
With c the mean of the highest probability over weak source views, the loss of strong views is
mu(progress) * mean_i [max q_i >= threshold * c] * -log p_i(y_i); mu rises from 0 to `weight` along
half a cosine over the first half of the training.
Differs from the paper: nothing in the losses. Its averaged weights are the option `ema_decay` of
the training, and its weight decay that of the optimiser.
"""

import math
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from dacbn.batch import Batch
from dacbn.limits import NotNegative
from dacbn.losses import log_probabilities, pseudo_label_loss, widened
from dacbn.methods.method import Method, Step, accuracy, methods
from dacbn.models import Network
from dacbn.norms import frozen_statistics

SOURCE_MOMENTUM = 0.001  # of the running mean of source predictions, as in the authors' code
WINDOW = 128  # batches in the running mean of target predictions


@methods.register("adamatch")
class AdaMatch(Method):
    """Learn confident pseudo-labels, balanced like the source's, with random logit interpolation.

    Args:
        network: the network to train.
        weight: weight of the pseudo-label loss in the second half of the training.
        threshold: predictions with at least this share of the source's mean confidence are used as
            labels.
    """

    wants_strong_views: ClassVar[bool] = True
    source_mean: Tensor
    target_means: Tensor

    def __init__(
        self, network: Network, weight: NotNegative = 1.0, threshold: NotNegative = 0.9
    ) -> None:
        super().__init__(network)
        self.weight = weight
        self.threshold = threshold
        uniform = torch.full((network.num_classes,), 1 / network.num_classes)
        self.register_buffer("source_mean", uniform)
        self.register_buffer("target_means", uniform.repeat(WINDOW, 1))

    def forward(self, batch: Batch, progress: float) -> Step:
        """Compute both losses from a pass of the source alone and one of both domains together."""
        assert batch.source_strong is not None and batch.target_strong is not None
        views = batch._replace(
            source_images=torch.cat([batch.source_images, batch.source_strong]),
            target_images=torch.cat([batch.target_images, batch.target_strong]),
        )
        with frozen_statistics(self.network):  # running statistics follow the joint batch only
            alone = self.forward_source(views)
        together, target = self.forward_both(views)
        source_logits = interpolate(together.logits, alone.logits)
        source_weak, target_weak = source_logits.chunk(2)[0], target.logits.chunk(2)[0]
        labels, confident, threshold = self.pseudo_label(source_weak.detach(), target_weak.detach())
        rise = self.weight * warm_up(progress)
        target_loss = pseudo_label_loss(target.logits.chunk(2)[1], labels, confident)
        losses = {
            "classification": F.cross_entropy(source_logits, batch.source_labels.repeat(2)),
            "pseudo_label": rise * target_loss,
        }
        metrics = {
            "source_accuracy": accuracy(source_weak, batch.source_labels),
            "confident": confident.float().mean(),
            "threshold": threshold,
            "pseudo_label_weight": torch.full_like(threshold, rise),
        }
        return Step(losses, metrics)

    def pseudo_label(
        self, source_logits: Tensor, target_logits: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Label target images, and update the running means of the predictions.

        Args:
            source_logits: (B, C) of weak views.
            target_logits: (B', C) of weak views.

        Returns:
            labels: int64 (B',).
            confident: bool (B',), whether a label is used.
            threshold: the smallest probability of a label that is used, a scalar.
        """
        source, target = (log_probabilities(z).exp() for z in (source_logits, target_logits))
        self.source_mean.lerp_(source.mean(0), SOURCE_MOMENTUM)
        self.target_means.copy_(torch.cat([self.target_means[1:], target.mean(0, keepdim=True)]))
        confidence, labels = align_distribution(
            target, self.source_mean, self.target_means.mean(0)
        ).max(1)
        threshold = self.threshold * source.amax(1).mean()
        return labels, confidence >= threshold, threshold


def interpolate(together: Tensor, alone: Tensor) -> Tensor:
    """Draw each logit (B, C) uniformly between its two values; both receive gradients."""
    together, alone = widened(together), widened(alone)
    return torch.lerp(together, alone, torch.rand_like(together))


def align_distribution(target: Tensor, source_mean: Tensor, target_mean: Tensor) -> Tensor:
    """Rescale probabilities (B, C) so that their mean (C,) approaches the source's mean (C,)."""
    scaled = target * (source_mean + 1e-6) / (target_mean + 1e-6)
    return scaled / scaled.sum(1, keepdim=True)


def warm_up(progress: float) -> float:
    """Compute the factor on the pseudo-label loss: half a cosine from 0 to 1, then 1."""
    return 0.5 - 0.5 * math.cos(min(math.pi, 2 * math.pi * progress))
