"""Conditional domain-adversarial training (CDAN, and CDAN+E with `entropy`).

Paper: Long et al., "Conditional Adversarial Domain Adaptation", NeurIPS 2018,
https://arxiv.org/abs/1705.10667.

As DANN, but the domain head sees the outer product of softmax g and features f, so that it compares
the domains class by class. Where that has more than 4096 entries, random projections stand in,
(R_f f) * (R_g g) / sqrt(d), whose inner products are those of the outer products in the mean. With
`entropy`, each sample weighs 1 + exp(-H(g)), so that confident predictions count more.
Differs from the paper: g and the weights are given to the domain head without a gradient, so that
it is features and not predictions that change; weights are relative to their mean over a domain,
and both domains weigh the same when their batches differ in size; the strength ends at `weight`, as
in DANN here, instead of 1.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from dacbn.batch import Output
from dacbn.losses import entropy, log_probabilities
from dacbn.methods.dann import adversarial_strength
from dacbn.methods.gradient_reversal import reverse_gradient
from dacbn.methods.method import Method, Step, methods
from dacbn.models import Network, mlp

LARGEST_MAP = 4096  # entries of an outer product that the domain head can take


@methods.register("cdan")
class CDAN(Method):
    """Classify the source while a domain head that knows the predictions cannot tell domains apart.

    Args:
        network: what is trained.
        weight: the adversarial strength at the end of training.
        entropy: let confident predictions count more (CDAN+E).
        head: widths of the domain head.
        projections: random projections d, where the outer product is too large.
    """

    feature_map: Tensor
    prediction_map: Tensor

    def __init__(
        self,
        network: Network,
        weight: float = 0.1,
        entropy: bool = False,
        head: tuple[int, ...] = (1024, 1024),
        projections: int = 1024,
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
        self.domain_head = mlp(size, head, 1)

    def transfer(
        self, source: Output, target: Output, source_labels: Tensor, progress: float
    ) -> Step:
        """Compute the domain loss, whose gradient reaches the features reversed."""
        strength = self.weight * adversarial_strength(progress)
        source_domain = self.domain_head(self.condition(source, strength)).squeeze(1).float()
        target_domain = self.domain_head(self.condition(target, strength)).squeeze(1).float()
        of_source = F.softplus(source_domain)  # -log(1 - p), p = sigmoid of "is target"
        of_target = F.softplus(-target_domain)  # -log p
        loss = (self.average(of_source, source) + self.average(of_target, target)) / 2
        correct = (source_domain < 0).float().mean() + (target_domain >= 0).float().mean()
        metrics = {
            "domain_accuracy": correct / 2,
            "adversarial_strength": torch.full_like(source_domain[0], strength),
        }
        return Step({"conditional_domain": loss}, metrics)

    def condition(self, output: Output, strength: float) -> Tensor:
        """Join features, whose gradient will be reversed, and predictions: (B, d)."""
        features = reverse_gradient(output.features, strength)
        predictions = log_probabilities(output.logits.detach()).exp()
        if self.random:
            return random_map(features, predictions, self.feature_map, self.prediction_map)
        return (predictions[:, :, None] * features[:, None]).flatten(1)

    def average(self, losses: Tensor, output: Output) -> Tensor:
        """Average the losses (B,) of a domain, weighted if so asked."""
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
