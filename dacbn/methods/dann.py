"""Domain-adversarial training (DANN).

Paper: Ganin et al., "Domain-Adversarial Training of Neural Networks", JMLR 2016,
https://arxiv.org/abs/1505.07818.

A domain head learns to predict the domain from the features, and the features learn to make it
fail: the head's gradient reaches them reversed, multiplied by a strength that rises from 0 to
`weight` over the training.
Differs from the paper: both domains weigh the same in the domain loss when their batches differ in
size; the strength ends at `weight` instead of 1; the default head is wide for all networks.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from dacbn.batch import Output
from dacbn.limits import Count, NotNegative
from dacbn.methods.gradient_reversal import reverse_gradient
from dacbn.methods.method import Method, Step, methods
from dacbn.models import Network, mlp


@methods.register("dann")
class DANN(Method):
    """Train features from which a domain classifier cannot predict the domain.

    Args:
        network: the network to train.
        weight: the adversarial strength at the end of training.
        head: widths of the domain head's hidden layers; (100,) in the paper's MNIST network.
        batch_norm: put a BatchNorm into each hidden layer of the domain head; source and target
            features pass through the head separately, so each has its own batch statistics.
    """

    def __init__(
        self,
        network: Network,
        weight: NotNegative = 0.1,
        head: tuple[Count, ...] = (1024, 1024),
        batch_norm: bool = False,
    ) -> None:
        super().__init__(network)
        self.weight = weight
        self.domain_head = mlp(network.num_features, head, 1, batch_norm)

    def transfer(
        self, source: Output, target: Output, source_labels: Tensor, progress: float
    ) -> Step:
        """Compute the domain loss; its gradient reaches the features reversed."""
        strength = self.weight * adversarial_strength(progress)
        source_domain = self.domain_head(reverse_gradient(source.features, strength))
        target_domain = self.domain_head(reverse_gradient(target.features, strength))
        metrics = {
            "domain_accuracy": domain_accuracy(source_domain, target_domain),
            "adversarial_strength": torch.full_like(source_domain[0, 0], strength),
        }
        return Step({"domain": domain_loss(source_domain, target_domain)}, metrics)


def domain_loss(source_logits: Tensor, target_logits: Tensor) -> Tensor:
    """Compute the mean of both domains' cross-entropies.

    Args:
        source_logits: (B, 1) of source images, of the class "is target".
        target_logits: (B', 1) of target images.
    """
    source = F.binary_cross_entropy_with_logits(source_logits, torch.zeros_like(source_logits))
    target = F.binary_cross_entropy_with_logits(target_logits, torch.ones_like(target_logits))
    return (source + target) / 2


def domain_accuracy(source_logits: Tensor, target_logits: Tensor) -> Tensor:
    """Compute the share of images whose domain is predicted; both domains weigh the same.

    Args:
        source_logits: (B, 1) or (B,) of source images, of the class "is target".
        target_logits: (B', 1) or (B',) of target images.
    """
    return ((source_logits < 0).float().mean() + (target_logits >= 0).float().mean()) / 2


def adversarial_strength(progress: float) -> float:
    """Compute the paper's schedule, 2 / (1 + exp(-10 progress)) - 1, from 0 to nearly 1."""
    return 2 / (1 + math.exp(-10 * progress)) - 1
