"""Source hypothesis transfer (SHOT): adaptation of a trained network to target images alone.

Paper: Liang, Hu and Feng, "Do We Really Need to Access the Source Data? Source Hypothesis Transfer
for Unsupervised Domain Adaptation", ICML 2020, https://arxiv.org/abs/2002.08546.

The last layer, the source's hypothesis, is frozen; the features are adapted until those of the
target fit it. With p_i the predictions and f_i the features of target images, the loss is

    mean_i H(p_i) - H(mean_i p_i) + weight * mean_i -log p_i(y_i),

the first two terms being minus the mutual information of image and class. The pseudo-labels y_i
come from the whole target, `rounds` times over the adaptation: centres c_k = sum_i p_i(k) f_i,
labels y_i = the class of the centre with the largest cosine, then centres and labels once more with
the labels in place of the predictions. In the paper, the network has been trained on the source
with smoothed labels: `source_only(label_smoothing=0.1)`.
Differs from the paper: the classifier's last layer has no weight normalisation; centres are means
of the backbone's features, before any hidden layer of the classifier (the authors' bottleneck),
without the column of ones that the authors' code, but not the paper, appends to them; a
class without labels in the second round is left out of it, where the authors count before the
first; one learning rate for all layers.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from dacbn.batch import TargetBatch
from dacbn.limits import Count, NotNegative
from dacbn.losses import log_probabilities, widened
from dacbn.methods.information_maximisation import mutual_information
from dacbn.methods.method import Step, accuracy
from dacbn.methods.source_free import SourceFreeMethod, WholeTarget, source_free_methods
from dacbn.models import Network


@source_free_methods.register("shot")
class SHOT(SourceFreeMethod):
    """Adapt features until target predictions are certain, diverse and clustered around centres.

    Args:
        network: the network to adapt; its last layer is frozen.
        target: all images of the target.
        weight: weight of the pseudo-label loss; 0.1 for digits in the paper, and 0 is SHOT-IM.
        rounds: how often the whole target is relabelled.
    """

    pseudo_labels: Tensor

    def __init__(
        self, network: Network, target: WholeTarget, weight: NotNegative = 0.3, rounds: Count = 15
    ) -> None:
        super().__init__(network, target)
        self.weight = weight
        self.rounds = rounds
        self.round = -1  # the round in which the pseudo-labels were made
        self.register_buffer("pseudo_labels", torch.zeros(len(target), dtype=torch.int64))
        list(network.classifier.modules())[-1].requires_grad_(False)

    def forward(self, batch: TargetBatch, progress: float) -> Step:
        """Compute both losses; at the start of a round, relabel the target first."""
        if (due := int(progress * self.rounds)) != self.round:
            self.label_target()
            self.round = due
        logits = self.forward_target(batch.target_images).logits
        labels = self.pseudo_labels[batch.target_indices]
        information = mutual_information(logits)
        losses = {
            "information": -information,
            "pseudo_label": self.weight * F.nll_loss(log_probabilities(logits), labels),
        }
        metrics = {
            "mutual_information": information.detach(),
            "pseudo_label_agreement": accuracy(logits, labels),
        }
        return Step(losses, metrics)

    @torch.no_grad()
    def label_target(self) -> None:
        """Label all target images by the current network; needs memory for all features."""
        self.network.eval()
        outputs = [self.forward_target(images) for images in self.target.batches()]
        self.network.train()
        features, logits = (torch.cat(parts) for parts in zip(*outputs, strict=True))
        self.pseudo_labels.copy_(label_by_centres(features, logits))

    def get_extra_state(self) -> Tensor:
        """Return the round, for the checkpoint."""
        return torch.tensor(self.round)

    def set_extra_state(self, state: Tensor) -> None:
        """Restore what `get_extra_state` returned."""
        self.round = int(state)


def label_by_centres(features: Tensor, logits: Tensor) -> Tensor:
    """Label each image by the class centre with the largest cosine similarity.

    Args:
        features: (N, D).
        logits: (N, C); their softmax weights the images in the first centres.

    Returns:
        int64 (N,).
    """
    directions = F.normalize(widened(features), dim=1)
    weights = log_probabilities(logits).exp()
    for _ in range(2):
        centres = F.normalize(weights.T @ directions, dim=1)
        similarity = (directions @ centres.T).masked_fill(weights.sum(0) == 0, -torch.inf)
        labels = similarity.argmax(1)
        weights = F.one_hot(labels, logits.shape[1]).to(weights)
    return labels
