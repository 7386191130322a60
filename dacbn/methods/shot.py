"""Source hypothesis transfer (SHOT): adaptation of a trained network to target images alone.

Paper: Liang, Hu and Feng, "Do We Really Need to Access the Source Data? Source Hypothesis Transfer
for Unsupervised Domain Adaptation", ICML 2020, https://arxiv.org/abs/2002.08546.

The last layer, the source's hypothesis, stays; the features move until the target's fit it. With
p_i the predictions and f_i the features of target images, the loss is

    mean_i H(p_i) - H(mean_i p_i) + weight * mean_i -log p_i(y_i),

the first two terms being minus the mutual information of image and class. The pseudo-labels y_i
come from the whole target, `rounds` times over the adaptation: centres c_k = sum_i p_i(k) f_i,
labels y_i = the class of the nearest centre by cosine, then both once more with the labels instead
of the predictions. The network to start from has learned the source with smoothed labels:
`source_only(label_smoothing=0.1)`.
Differs from the paper: the classifier's last layer has no weight normalisation, and features before
a hidden layer of the classifier (the authors' bottleneck) are what centres are made of; a class
that has no labels in the second round takes no part in it, where the authors count before the
first; one learning rate for all layers.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from dacbn.batch import TargetBatch
from dacbn.losses import log_probabilities
from dacbn.methods.information_maximisation import mutual_information
from dacbn.methods.method import Step, accuracy
from dacbn.methods.source_free import SourceFreeMethod, WholeTarget, source_free_methods
from dacbn.models import Network


@source_free_methods.register("shot")
class SHOT(SourceFreeMethod):
    """Move features until target predictions are certain, diverse and gathered around centres.

    Args:
        network: what is adapted; its last layer is frozen.
        target: all images of the target.
        weight: of the pseudo-labels; the paper has 0.1 for digits, and 0 is SHOT-IM.
        rounds: how often the whole target is labelled anew.

    Raises:
        ValueError: `rounds` is less than 1.
    """

    pseudo_labels: Tensor

    def __init__(
        self, network: Network, target: WholeTarget, weight: float = 0.3, rounds: int = 15
    ) -> None:
        super().__init__(network, target)
        if rounds < 1:
            raise ValueError(f"rounds of shot must be at least 1, got {rounds}")
        self.weight = weight
        self.rounds = rounds
        self.round = -1  # the one that the pseudo-labels are of
        self.register_buffer("pseudo_labels", torch.zeros(len(target), dtype=torch.int64))
        list(network.classifier.modules())[-1].requires_grad_(False)

    def forward(self, batch: TargetBatch, progress: float) -> Step:  # type: ignore[override]
        """Compute both losses; at the start of a round, label the target first."""
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
        """Label all images as the network predicts them now; holds their features meanwhile."""
        self.network.eval()
        outputs = [self.forward_target(images) for images in self.target.batches()]
        self.network.train()
        features, logits = (torch.cat(parts) for parts in zip(*outputs, strict=True))
        self.pseudo_labels.copy_(label_by_centres(features, logits))

    def get_extra_state(self) -> Tensor:
        """Return the round, for an adaptation that goes on."""
        return torch.tensor(self.round)

    def set_extra_state(self, state: Tensor) -> None:
        """Take up what `get_extra_state` returned."""
        self.round = int(state)


def label_by_centres(features: Tensor, logits: Tensor) -> Tensor:
    """Label each image by the class whose centre is nearest by cosine.

    Args:
        features: (N, D).
        logits: (N, C), which weigh the images in the first centres.

    Returns:
        int64 (N,).
    """
    directions = F.normalize(features.float(), dim=1)
    weights = log_probabilities(logits).exp()
    for _ in range(2):
        centres = F.normalize(weights.T @ directions, dim=1)
        nearness = (directions @ centres.T).masked_fill(weights.sum(0) == 0, -torch.inf)
        labels = nearness.argmax(1)
        weights = F.one_hot(labels, logits.shape[1]).float()
    return labels
