"""Open set adaptation by backpropagation (OSBP): an output for unknown classes.

Paper: Saito et al., "Open Set Domain Adaptation by Backpropagation", ECCV 2018,
https://arxiv.org/abs/1804.10427.

The classifier has one output more than the source has classes, "unknown". It learns the source, and
to give target images a probability p of being unknown of t, by the binary cross-entropy
-t log p - (1 - t) log(1 - p). Its gradient reaches the features reversed, so that they move each
target image away from t: to a known class, or to "unknown". With the setting `unknown`, answers are
"unknown" where that output is the largest; without it, it is left out of the answers.
Differs from the paper: all domains go through the backbone in one pass, so that the normaliser
decides which statistics they share; `weight` is the strength of the reversed gradient, 1 there.
"""

from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from dacbn.batch import Batch, Output
from dacbn.limits import BELOW_1, POSITIVE, NotNegative
from dacbn.losses import log_probabilities
from dacbn.methods.gradient_reversal import reverse_gradient
from dacbn.methods.method import Method, Step, accuracy, methods
from dacbn.models import Network
from dacbn.norms import frozen_statistics


@methods.register("osbp")
class OSBP(Method):
    """Learn an output for unknown classes, and features that are known or unknown but not between.

    Args:
        network: the network to train; it is given the output.
        weight: factor on the reversed gradient that reaches the features.
        boundary: the probability t of being unknown that the classifier learns for the target.
    """

    has_unknown_output: ClassVar[bool] = True

    def __init__(
        self,
        network: Network,
        weight: NotNegative = 1.0,
        boundary: Annotated[float, POSITIVE, BELOW_1] = 0.5,
    ) -> None:
        super().__init__(network)
        self.weight = weight
        self.boundary = boundary
        network.add_unknown_output()

    def forward(self, batch: Batch, progress: float) -> Step:
        """Compute the losses of the source and of the target."""
        source, target = self.forward_both(batch)
        features = reverse_gradient(target.features, self.weight)
        with frozen_statistics(self.network.classifier):  # which has seen these features already
            of_target = self.extended(Output(features, self.network.classifier(features)))
        losses = {
            "classification": F.cross_entropy(self.extended(source), batch.source_labels),
            "open_set": boundary_loss(of_target, self.boundary),
        }
        unknown = of_target.argmax(1) == self.network.num_classes
        metrics = {
            "source_accuracy": accuracy(source.logits, batch.source_labels),
            "unknown_share": unknown.float().mean(),
        }
        return Step(losses, metrics)

    def extended(self, output: Output) -> Tensor:
        """Return the logits (B, C) of an output with that of "unknown" after them: (B, C + 1)."""
        return torch.cat([output.logits, self.network.unknown_logits(output.features)], 1)


def boundary_loss(logits: Tensor, boundary: float) -> Tensor:
    """Compute the mean of -t log p - (1 - t) log(1 - p), t the boundary, in nats.

    Args:
        logits: (B, C + 1), the last of "unknown", whose softmax is p.
        boundary: t.
    """
    log_p = log_probabilities(logits)
    known, unknown = log_p[:, :-1].logsumexp(1), log_p[:, -1]
    return -(boundary * unknown + (1 - boundary) * known).mean()
