"""Domain-adversarial training (DANN).

Paper: Ganin et al., "Domain-Adversarial Training of Neural Networks", JMLR 2016,
https://arxiv.org/abs/1505.07818.

A head tells source from target features, and the features learn to make it fail: the head's
gradient reaches them reversed, with a strength that rises from 0 to `weight` over the training.
Differs from the paper: both domains weigh the same in the domain loss when their batches differ in
size; the strength ends at `weight` instead of 1, which helped less reliably on small domains; the
wide head serves small networks too: on `color_digits` it gave a higher target accuracy than 100.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from dacbn.batch import Output
from dacbn.methods.gradient_reversal import reverse_gradient
from dacbn.methods.method import Method, Step, methods
from dacbn.models import Network, mlp


@methods.register("dann")
class DANN(Method):
    """Classify the source while a domain head finds nothing to tell the domains apart by.

    Args:
        network: what is trained.
        weight: the adversarial strength at the end of training.
        head: widths of the domain head; the paper has (100,) for its MNIST network.
        batch_norm: put a BatchNorm into each hidden layer of the domain head, which sees each
            domain's batch by itself.
    """

    def __init__(
        self,
        network: Network,
        weight: float = 0.1,
        head: tuple[int, ...] = (1024, 1024),
        batch_norm: bool = False,
    ) -> None:
        super().__init__(network)
        self.weight = weight
        self.domain_head = mlp(network.num_features, head, 1, batch_norm)

    def transfer(
        self, source: Output, target: Output, source_labels: Tensor, progress: float
    ) -> Step:
        """Compute the domain loss, whose gradient reaches the features reversed."""
        strength = self.weight * adversarial_strength(progress)
        source_domain = self.domain_head(reverse_gradient(source.features, strength))
        target_domain = self.domain_head(reverse_gradient(target.features, strength))
        correct = (source_domain < 0).float().mean() + (target_domain >= 0).float().mean()
        metrics = {
            "domain_accuracy": correct / 2,
            "adversarial_strength": torch.full_like(source_domain[0, 0], strength),
        }
        return Step({"domain": domain_loss(source_domain, target_domain)}, metrics)


def domain_loss(source_logits: Tensor, target_logits: Tensor) -> Tensor:
    """Compute the mean of both domains' cross-entropies, from logits (B, 1) of "is target"."""
    source = F.binary_cross_entropy_with_logits(source_logits, torch.zeros_like(source_logits))
    target = F.binary_cross_entropy_with_logits(target_logits, torch.ones_like(target_logits))
    return (source + target) / 2


def adversarial_strength(progress: float) -> float:
    """Compute the paper's schedule, 2 / (1 + exp(-10 p)) - 1, which rises from 0 to 1."""
    return 2 / (1 + math.exp(-10 * progress)) - 1
