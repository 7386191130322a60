"""Adversarial discriminative domain adaptation (ADDA): source first, then the target's features.

Paper: Tzeng, Hoffman, Saenko and Darrell, "Adversarial Discriminative Domain Adaptation",
CVPR 2017, https://arxiv.org/abs/1702.05464.

For the first `source_share` of the training the network learns the source alone. It is then copied
and the copy frozen, and the network itself is adapted: with f_s = copy(source) and
f_t = network(target), a domain head h learns to predict the domain, and the features f_t learn to
be classified as source features (inverted labels):

    domain      = mean_i -log(1 - p(f_s,i)) / 2 + mean_i -log p(f_t,i) / 2,   p = sigmoid of h
    adversarial = mean_i -log(1 - p(f_t,i)),

the first trains h only, the second the backbone only, both at a fifth of the learning rate
(`lr_share`), because larger rates are unstable. The classifier is not changed in this stage. The
copy normalises by its running statistics, and the network by batches of the target alone, so that
its running statistics become the target's: the result is a network for the target.
With several domains the head tells all of them apart, and the adversarial loss is -log of the
probability that it gives to all sources together.
Differs from the paper: both stages are one training, with one optimiser and one schedule; all
domains weigh the same in the domain loss when their batches differ in size.
"""

import copy
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from dacbn.batch import Batch, split_domains
from dacbn.limits import BELOW_1, Count, Positive
from dacbn.methods.domain_head import domain_accuracy, domain_loss, domain_mlp
from dacbn.methods.method import Method, Step, accuracy, methods
from dacbn.models import Network


@methods.register("adda")
class ADDA(Method):
    """Learn the source, then adapt target features until a discriminator takes them for source.

    Args:
        network: the network to train.
        source_share: share of the training steps that use the source alone.
        lr_share: factor on the scheduled learning rate afterwards.
        head: widths of the domain head's hidden layers.
    """

    def __init__(
        self,
        network: Network,
        source_share: Annotated[float, BELOW_1] = 0.5,
        lr_share: Positive = 0.2,
        head: tuple[Count, ...] = (500, 500),
    ) -> None:
        super().__init__(network)
        self.source_share = source_share
        self.lr_share = lr_share
        self.domain_head = domain_mlp(network.num_features, head, network.num_domains)
        self.num_domains = network.num_domains
        self.source_network = copy.deepcopy(network).requires_grad_(False)
        self.adapting = False

    def forward(self, batch: Batch, progress: float) -> Step:
        """Compute the losses of the current stage; those of the other stage are 0."""
        if progress < self.source_share:
            return self.learn_source(batch)
        if not self.adapting:
            self.source_network.load_state_dict(self.network.state_dict())
            self.adapting = True
        return self.adapt(batch)

    def lr_factor(self, progress: float) -> float:
        """Return 1 in the first stage and `lr_share` in the second."""
        return 1.0 if progress < self.source_share else self.lr_share

    def learn_source(self, batch: Batch) -> Step:
        """Compute the classification loss."""
        source = self.forward_source(batch)
        classification = F.cross_entropy(source.logits, batch.source_labels)
        zero = torch.zeros_like(classification)
        losses = {"classification": classification, "domain": zero, "adversarial": zero}
        metrics = {
            "source_accuracy": accuracy(source.logits, batch.source_labels),
            "domain_accuracy": zero + 1 / self.num_domains,  # chance: the head is not in use yet
        }
        return Step(losses, metrics)

    def adapt(self, batch: Batch) -> Step:
        """Compute the losses of the domain head and of the features."""
        with torch.no_grad():
            (source,) = self.forward_together(batch.source, network=self.source_network.eval())
        target = self.forward_target(batch)
        sources = split_domains(source, batch.source_counts)
        targets = split_domains(target, batch.target_counts)
        seen = (each.features.detach() for each in (*sources, *targets))
        domain_logits = self.domain_head.of_each(seen)
        fooled = apply_fixed(self.domain_head, target.features)
        adversarial = taken_for_source(fooled, len(sources)).mean()
        losses = {
            "classification": torch.zeros_like(adversarial),
            "domain": domain_loss(*domain_logits),
            "adversarial": adversarial,
        }
        metrics = {
            "source_accuracy": accuracy(source.logits, batch.source_labels),
            "domain_accuracy": domain_accuracy(*domain_logits),
        }
        return Step(losses, metrics)

    def get_extra_state(self) -> Tensor:
        """Return whether the copy has been made, for the checkpoint."""
        return torch.tensor(self.adapting)

    def set_extra_state(self, state: Tensor) -> None:
        """Restore what `get_extra_state` returned."""
        self.adapting = bool(state)


def taken_for_source(logits: Tensor, num_sources: int) -> Tensor:
    """Compute -log p(any source) (B,) from logits (B, 1 or D) of a domain head."""
    if logits.shape[1] == 1:
        return F.softplus(logits).squeeze(1)
    return logits.logsumexp(1) - logits[:, :num_sources].logsumexp(1)


def apply_fixed(head: nn.Module, features: Tensor) -> Tensor:
    """Apply a head to features (B, D), with a gradient for the features but not for the head."""
    fixed = {name: parameter.detach() for name, parameter in head.named_parameters()}
    logits: Tensor = functional_call(head, fixed, (features,))
    return logits
