"""Margin disparity discrepancy (MDD): an adversary maximises it, the features minimise it.

Paper: Zhang et al., "Bridging Theory and Algorithm for Domain Adaptation", ICML 2019,
https://arxiv.org/abs/1904.05801.

An adversary, a second classifier, learns to agree with the classifier on the source and to disagree
on the target; the features learn to prevent this. With y the classifier's prediction and p the
adversary's softmax, the adversary minimises
margin * E_source[-log p_y] + E_target[-log(1 - p_y)], whose gradient reaches the features reversed,
with a strength that rises from 0 to `weight` over the training.
Differs from the paper: the strength rises with DANN's schedule, over the whole training.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from dacbn.batch import Output
from dacbn.limits import Count, NotNegative, Positive
from dacbn.losses import widened
from dacbn.methods.dann import adversarial_strength
from dacbn.methods.gradient_reversal import reverse_gradient
from dacbn.methods.method import Method, Step, accuracy, methods
from dacbn.models import Network, mlp


@methods.register("mdd")
class MDD(Method):
    """Classify the source and minimise the margin disparity discrepancy.

    Args:
        network: the network to train.
        weight: the adversarial strength at the end of training.
        margin: weight of the source relative to the target.
        head: widths of the adversary's hidden layers.
    """

    def __init__(
        self,
        network: Network,
        weight: NotNegative = 0.1,
        margin: Positive = 4.0,
        head: tuple[Count, ...] = (1024,),
    ) -> None:
        super().__init__(network)
        self.weight = weight
        self.margin = margin
        self.adversary = mlp(network.num_features, head, network.num_classes)

    def transfer(
        self, source: Output, target: Output, source_labels: Tensor, progress: float
    ) -> Step:
        """Compute the adversary's loss; its gradient reaches the features reversed."""
        strength = self.weight * adversarial_strength(progress)
        source_logits, target_logits = self.adversary.of_each(
            reverse_gradient(each.features, strength) for each in (source, target)
        )
        source_labels, target_labels = source.logits.argmax(1), target.logits.argmax(1)
        of_source = F.cross_entropy(source_logits, source_labels)
        loss = self.margin * of_source + disagreement_loss(target_logits, target_labels)
        metrics = {
            "source_agreement": accuracy(source_logits, source_labels),
            "target_agreement": accuracy(target_logits, target_labels),
        }
        return Step({"margin_disparity": loss}, metrics)


def disagreement_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Compute the mean of -log(1 - p_label), p the softmax of logits (B, C), for labels (B,)."""
    logits = widened(logits)
    is_label = F.one_hot(labels, logits.shape[1]).bool()
    others = logits.masked_fill(is_label, -torch.inf)
    return (logits.logsumexp(1) - others.logsumexp(1)).mean()
