"""Virtual adversarial domain adaptation (VADA).

Paper: Shu et al., "A DIRT-T Approach to Unsupervised Domain Adaptation", ICLR 2018,
https://arxiv.org/abs/1802.08735; its smoothness term: Miyato et al., "Virtual Adversarial
Training", TPAMI 2018, https://arxiv.org/abs/1704.03976.

In addition to the source's cross-entropy and a domain head as in DANN, whose reversed gradient
reaches the features with strength `domain_weight`, the loss is
source_weight * V(source) + target_weight * (V(target) + mean entropy of the target), with
V = mean_i KL(p(x_i) || p(x_i + r_i)), p(x_i) without gradient, and r_i of length `radius` along
the gradient of that divergence at a random perturbation: a consistency loss that keeps decision
boundaries away from the data.
Differs from the paper: reversed gradients in one step instead of two alternating steps with flipped
domain labels; both domains in one forward pass, so that the normaliser decides which statistics
they share; the random perturbation has the length of the radius, because 1e-6 is lost in rounding.
"""

import math
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from dacbn.batch import Batch, split_domains
from dacbn.limits import Count, NotNegative
from dacbn.losses import entropy, log_probabilities
from dacbn.methods.domain_head import domain_accuracy, domain_loss, domain_mlp
from dacbn.methods.gradient_reversal import reverse_gradient
from dacbn.methods.method import Method, Step, accuracy, methods
from dacbn.models import Network
from dacbn.norms import frozen_statistics

PAPER_VALUES = 3 * 32 * 32  # values per image in the paper, where pixels are in [-1, 1]


@methods.register("vada")
class VADA(Method):
    """Train domain-invariant features with decision boundaries away from the data.

    Args:
        network: the network to train.
        domain_weight: the adversarial strength, constant.
        source_weight: weight of the source's consistency loss.
        target_weight: weight of the target's consistency loss and entropy.
        radius: length of the perturbations of images of the paper's size; images of other sizes are
            perturbed by as much per pixel.
        head: widths of the domain head's hidden layers.
    """

    perturbs_images: ClassVar[bool] = True

    def __init__(
        self,
        network: Network,
        domain_weight: NotNegative = 0.01,
        source_weight: NotNegative = 1.0,
        target_weight: NotNegative = 0.01,
        radius: NotNegative = 3.5,
        head: tuple[Count, ...] = (100,),
    ) -> None:
        super().__init__(network)
        self.domain_weight = domain_weight
        self.source_weight = source_weight
        self.target_weight = target_weight
        self.radius = radius
        self.domain_head = domain_mlp(network.num_features, head, network.num_domains)

    def forward(self, batch: Batch, progress: float) -> Step:
        """Compute all losses, from a pass of the images and two of perturbed images."""
        source, target = self.forward_both(batch)
        domains = [
            *split_domains(source, batch.source_counts),
            *split_domains(target, batch.target_counts),
        ]
        domain_logits = self.domain_head.of_each(
            reverse_gradient(each.features, self.domain_weight) for each in domains
        )
        divergence = self.smoothness(batch, torch.cat([source.logits, target.logits]).detach())
        source_smoothness, target_smoothness = divergence.tensor_split([len(source.logits)])
        losses = {
            "classification": F.cross_entropy(source.logits, batch.source_labels),
            "domain": domain_loss(*domain_logits),
            "source_smoothness": self.source_weight * source_smoothness.mean(),
            "target_smoothness": self.target_weight * target_smoothness.mean(),
            "entropy": self.target_weight * entropy(target.logits).mean(),
        }
        metrics = {
            "source_accuracy": accuracy(source.logits, batch.source_labels),
            "domain_accuracy": domain_accuracy(*domain_logits),
        }
        return Step(losses, metrics)

    def smoothness(self, batch: Batch, logits: Tensor) -> Tensor:
        """Compute the change of each prediction under the worst small perturbation.

        Args:
            batch: source and target images, B in total.
            logits: (B, C) without gradient, of the unperturbed images, source first.

        Returns:
            divergences (B,), in nats; the gradient passes through the perturbed images only.
        """
        images = torch.cat([batch.source_images, batch.target_images])
        length = self.radius / 2 * math.sqrt(images[0].numel() / PAPER_VALUES)
        probe = (length * to_unit(torch.randn_like(images))).requires_grad_()
        moved = self.divergence(batch, logits, probe)
        (worst,) = torch.autograd.grad(moved.sum(), probe)
        return self.divergence(batch, logits, length * to_unit(worst))

    def divergence(self, batch: Batch, logits: Tensor, change: Tensor) -> Tensor:
        """Compute KL(p(x) || p(x + change)) (B,) from logits (B, C) of p(x)."""
        of_source, of_target = change.tensor_split([len(batch.source_images)])
        perturbed = batch._replace(
            source_images=batch.source_images + of_source,
            target_images=batch.target_images + of_target,
        )
        with frozen_statistics(self.network):
            source, target = self.forward_both(perturbed)
        log_p = log_probabilities(logits)
        log_q = log_probabilities(torch.cat([source.logits, target.logits]))
        return (log_p.exp() * (log_p - log_q)).sum(1)


def to_unit(x: Tensor) -> Tensor:
    """Scale each sample (B, ...) to length 1, even a very short one; zero stays zero."""
    flat = x.flatten(1)
    # squares of small numbers underflow, so scale by the largest entry first
    flat = flat / flat.abs().amax(1, keepdim=True).clamp_min(torch.finfo(x.dtype).tiny)
    return F.normalize(flat, dim=1).reshape(x.shape)
