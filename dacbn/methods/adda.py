"""Adversarial discriminative domain adaptation (ADDA): source first, then the target's features.

Paper: Tzeng, Hoffman, Saenko and Darrell, "Adversarial Discriminative Domain Adaptation",
CVPR 2017, https://arxiv.org/abs/1702.05464.

For the first `source_share` of the training the network learns the source alone. What it is then
is kept as a frozen copy, and the network itself is adapted: with f_s = copy(source) and
f_t = network(target), a domain head h learns to tell them apart, and the features f_t to be taken
for the source's, as if the labels were inverted:

    domain      = mean_i -log(1 - p(f_s,i)) / 2 + mean_i -log p(f_t,i) / 2,   p = sigmoid of h
    adversarial = mean_i -log(1 - p(f_t,i)),

the first moving h alone, the second the backbone alone, both at a fifth of the learning rate: at
the whole one the backbone ran away from its classes (USPS → MNIST, seed 20: 27.9 % instead of
90.9 %, from 85.6 % before). The classifier stays as the source taught it. The copy normalises by
its running statistics, and the network by batches of the target alone, so that its own running
statistics become the target's: it is a network for the target.
Differs from the paper: both stages are one training, with one optimiser and one schedule; both
domains weigh the same in the domain loss when their batches differ in size.
"""

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from dacbn.batch import SOURCE, Batch, domain_ids
from dacbn.methods.dann import domain_loss
from dacbn.methods.method import Method, Step, accuracy, methods
from dacbn.models import Network, mlp


@methods.register("adda")
class ADDA(Method):
    """Classify the source first, then make target features look like the source's.

    Args:
        network: what is trained.
        source_share: the share of the training that is spent on the source alone.
        lr_share: the share of the scheduled learning rate afterwards.
        head: widths of the domain head.

    Raises:
        ValueError: `source_share` is not in [0, 1), or `lr_share` not positive.
    """

    def __init__(
        self,
        network: Network,
        source_share: float = 0.5,
        lr_share: float = 0.2,
        head: tuple[int, ...] = (500, 500),
    ) -> None:
        super().__init__(network)
        if not 0 <= source_share < 1:
            raise ValueError(f"source_share of adda must be in [0, 1), got {source_share}")
        if not lr_share > 0:
            raise ValueError(f"lr_share of adda must be positive, got {lr_share}")
        self.source_share = source_share
        self.lr_share = lr_share
        self.domain_head = mlp(network.num_features, head, 1)
        self.source_network = copy.deepcopy(network).requires_grad_(False)
        self.adapting = False

    def forward(self, batch: Batch, progress: float) -> Step:
        """Compute the source's loss, or both losses of the adaptation; the others are 0."""
        if progress < self.source_share:
            return self.learn_source(batch)
        if not self.adapting:
            self.source_network.load_state_dict(self.network.state_dict())
            self.adapting = True
        return self.adapt(batch)

    def lr_factor(self, progress: float) -> float:
        """Slow down once the source is learned."""
        return 1.0 if progress < self.source_share else self.lr_share

    def learn_source(self, batch: Batch) -> Step:
        """Compute the classification loss."""
        source = self.forward_source(batch)
        classification = F.cross_entropy(source.logits, batch.source_labels)
        zero = torch.zeros_like(classification)
        losses = {"classification": classification, "domain": zero, "adversarial": zero}
        metrics = {
            "source_accuracy": accuracy(source.logits, batch.source_labels),
            "domain_accuracy": zero + 0.5,  # nobody guesses yet
        }
        return Step(losses, metrics)

    def adapt(self, batch: Batch) -> Step:
        """Compute the domain head's loss and the features'."""
        images = batch.source_images
        ids = domain_ids(len(images), SOURCE, images.device)
        with torch.no_grad():
            source = self.source_network.eval()(images, ids)
        features = self.forward_target(batch.target_images).features
        source_domain = self.domain_head(source.features)
        target_domain = self.domain_head(features.detach())
        fooled = apply_fixed(self.domain_head, features)
        adversarial = F.binary_cross_entropy_with_logits(fooled, torch.zeros_like(fooled))
        losses = {
            "classification": torch.zeros_like(adversarial),
            "domain": domain_loss(source_domain, target_domain),
            "adversarial": adversarial,
        }
        correct = (source_domain < 0).float().mean() + (target_domain >= 0).float().mean()
        metrics = {
            "source_accuracy": accuracy(source.logits, batch.source_labels),
            "domain_accuracy": correct / 2,
        }
        return Step(losses, metrics)

    def get_extra_state(self) -> Tensor:
        """Say whether the copy has been taken, for a training that goes on."""
        return torch.tensor(self.adapting)

    def set_extra_state(self, state: Tensor) -> None:
        """Take up what `get_extra_state` said."""
        self.adapting = bool(state)


def apply_fixed(head: nn.Module, features: Tensor) -> Tensor:
    """Apply a head whose parameters get no gradient, and whose input (B, D) does."""
    fixed = {name: parameter.detach() for name, parameter in head.named_parameters()}
    logits: Tensor = functional_call(head, fixed, (features,))
    return logits
