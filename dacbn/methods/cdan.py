"""Conditional domain-adversarial training (CDAN, and CDAN+E with `entropy`).

Paper: Long et al., "Conditional Adversarial Domain Adaptation", NeurIPS 2018,
https://arxiv.org/abs/1705.10667.

As DANN, but the input of the domain head is the outer product of the softmax g and the features f,
so that the domains are compared class by class. An outer product of more than 4096 entries is
replaced by random projections, (R_f f) * (R_g g) / sqrt(d), whose inner products equal those of the
outer products in expectation. With `entropy`, each sample weighs 1 + exp(-H(g)), so that confident
predictions count more.
Differs from the paper: g and the weights have no gradient, so that features change and not
predictions; weights are relative to their mean over a domain, and all domains weigh the same when
their batches differ in size; the strength ends at `weight`, as in DANN here, instead of 1.
"""

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from dacbn.batch import Output
from dacbn.limits import Count, NotNegative
from dacbn.losses import entropy, log_probabilities, widened
from dacbn.methods.dann import adversarial_strength
from dacbn.methods.domain_head import (
    domain_accuracy,
    domain_losses,
    domain_mlp,
    mean_of_domains,
    split_weights,
    weigh,
)
from dacbn.methods.gradient_reversal import reverse_gradient
from dacbn.methods.method import Method, Step, methods
from dacbn.models import Network

LARGEST_MAP = 4096  # entries of the outer product; larger ones are projected


@methods.register("cdan")
class CDAN(Method):
    """Train features from which the domain cannot be predicted, even given the predicted class.

    Args:
        network: the network to train.
        weight: the adversarial strength at the end of training.
        entropy: let confident predictions count more (CDAN+E).
        head: widths of the domain head's hidden layers.
        projections: number d of random projections, used if the outer product is too large.
    """

    fewest_sources: ClassVar[int | None] = 2
    feature_map: Tensor
    prediction_map: Tensor

    def __init__(
        self,
        network: Network,
        weight: NotNegative = 0.1,
        entropy: bool = False,
        head: tuple[Count, ...] = (1024, 1024),
        projections: Count = 1024,
    ) -> None:
        super().__init__(network)
        self.weight = weight
        self.entropy = entropy
        num_features, num_classes = network.num_features, network.num_classes
        self.random = num_features * num_classes > LARGEST_MAP
        if self.random:
            self.register_buffer("feature_map", torch.randn(num_features, projections))
            self.register_buffer("prediction_map", torch.randn(num_classes, projections))
        size = projections if self.random else num_features * num_classes
        self.domain_head = domain_mlp(size, head, network.num_domains)

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
        outputs = [*sources, *targets]
        conditions = (self.condition(each, strength) for each in outputs)
        logits = [widened(each) for each in self.domain_head.of_each(conditions)]
        weights = split_weights(source_weights, sources)
        losses = [
            self.average(weigh(domain_losses(of_domain, domain), domain, weights), output)
            for domain, (of_domain, output) in enumerate(zip(logits, outputs, strict=True))
            if len(of_domain)
        ]
        metrics = {
            "domain_accuracy": domain_accuracy(*logits),
            "adversarial_strength": torch.full_like(losses[0], strength),
        }
        return Step({"conditional_domain": mean_of_domains(losses)}, metrics)

    def condition(self, output: Output, strength: float) -> Tensor:
        """Combine features (their gradient is reversed) and predictions into head inputs (B, d)."""
        features = reverse_gradient(output.features, strength)
        predictions = log_probabilities(output.logits.detach()).exp()
        if self.random:
            return random_map(features, predictions, self.feature_map, self.prediction_map)
        return (predictions[:, :, None] * features[:, None]).flatten(1)

    def average(self, losses: Tensor, output: Output) -> Tensor:
        """Average the losses (B,) of a domain, weighted by certainty if `entropy` is set."""
        if self.entropy:
            losses = losses * certainty(output.logits.detach())
        return losses.mean()


def random_map(
    features: Tensor, predictions: Tensor, feature_map: Tensor, prediction_map: Tensor
) -> Tensor:
    """Project features (B, D) and predictions (B, C) and multiply: (B, d)."""
    return (
        (features @ feature_map) * (predictions @ prediction_map) / math.sqrt(feature_map.shape[1])
    )


def certainty(logits: Tensor) -> Tensor:
    """Compute 1 + exp(-H), H the entropy in nats of logits (B, C), relative to its mean: (B,)."""
    weights = 1 + torch.exp(-entropy(logits))
    return weights / weights.mean()
