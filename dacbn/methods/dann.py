"""Domain-adversarial training (DANN).

Paper: Ganin et al., "Domain-Adversarial Training of Neural Networks", JMLR 2016,
https://arxiv.org/abs/1505.07818.

A domain head learns to predict the domain from the features, and the features learn to make it
fail: the head's gradient reaches them reversed, multiplied by a strength that rises from 0 to
`weight` over the training.
With several sources or targets the head tells all of them apart.
Differs from the paper: all domains weigh the same in the domain loss when their batches differ in
size; the strength ends at `weight` instead of 1; the default head is wide for all networks.
"""

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from dacbn.batch import Output
from dacbn.limits import Count, NotNegative
from dacbn.methods.domain_head import domain_accuracy, domain_loss, domain_mlp, split_weights
from dacbn.methods.gradient_reversal import reverse_gradient
from dacbn.methods.method import Method, Step, methods
from dacbn.models import Network


@methods.register("dann")
class DANN(Method):
    """Train features from which a domain classifier cannot predict the domain.

    Args:
        network: the network to train.
        weight: the adversarial strength at the end of training.
        head: widths of the domain head's hidden layers; (100,) in the paper's MNIST network.
        batch_norm: put a BatchNorm into each hidden layer of the domain head; the features
            of each domain pass through the head separately, so it has its own batch statistics.
    """

    fewest_sources: ClassVar[int | None] = 2

    def __init__(
        self,
        network: Network,
        weight: NotNegative = 0.1,
        head: tuple[Count, ...] = (1024, 1024),
        batch_norm: bool = False,
    ) -> None:
        super().__init__(network)
        self.weight = weight
        self.domain_head = domain_mlp(network.num_features, head, network.num_domains, batch_norm)

    def transfer_domains(
        self,
        sources: Sequence[Output],
        targets: Sequence[Output],
        source_labels: Tensor,
        progress: float,
    ) -> Step:
        """Compute the domain loss; its gradient reaches the features reversed."""
        return self.transfer_weighted(sources, targets, source_labels, progress, None)

    def transfer_weighted(
        self,
        sources: Sequence[Output],
        targets: Sequence[Output],
        source_labels: Tensor,
        progress: float,
        source_weights: Tensor | None,
    ) -> Step:
        """Compute the same with weights (B,) of the source images in the domain loss."""
        strength = self.weight * adversarial_strength(progress)
        logits = self.domain_head.of_each(
            reverse_gradient(each.features, strength) for each in (*sources, *targets)
        )
        metrics = {
            "domain_accuracy": domain_accuracy(*logits),
            "adversarial_strength": torch.full_like(logits[0][0, 0], strength),
        }
        weights = split_weights(source_weights, sources)
        return Step({"domain": domain_loss(*logits, source_weights=weights)}, metrics)


def adversarial_strength(progress: float) -> float:
    """Compute the paper's schedule, 2 / (1 + exp(-10 progress)) - 1, from 0 to nearly 1."""
    return 2 / (1 + math.exp(-10 * progress)) - 1
