"""Minimax entropy (MME): a few labelled target images, and many without labels.

Paper: Saito, Kim, Sclaroff, Darrell and Saenko, "Semi-supervised Domain Adaptation via Minimax
Entropy", ICCV 2019, https://arxiv.org/abs/1904.06487.

The classifier's logits are w_c · f / (‖f‖ T), so that its weights w_c are prototypes of the classes
on the sphere of features; they and the features f learn the labelled images of source and target.
With H the mean entropy of the predictions for unlabelled target images, the objective is

    weights:   cross-entropy - weight H,        features:   cross-entropy + weight H

The weights move towards the target, and the features then gather around them. Both are one backward
pass: the loss is -weight H, whose gradient reaches the features reversed.
Differs from the paper: its two updates (labelled images, then unlabelled ones) are one, from one
pass of all images, which share the batch statistics. The cross-entropy is the mean of that of the
source and that of labelled target images, whose numbers may differ. The paper's text calls for
cosines; its equation and code, which this follows, do not normalise the weights.
"""

from typing import ClassVar

from dacbn.batch import Batch
from dacbn.limits import NotNegative
from dacbn.losses import entropy
from dacbn.methods.gradient_reversal import reverse_gradient
from dacbn.methods.method import Method, Step, methods
from dacbn.methods.source_and_target import classify
from dacbn.models import CosineClassifier, Network


@methods.register("mme")
class MME(Method):
    """Classify labelled images; the classifier raises the target's entropy, the features lower it.

    Args:
        network: the network to train; its classifier is a `CosineClassifier`.
        weight: weight of the entropy.

    Raises:
        ValueError: the classifier is another one.
    """

    takes_labelled_target: ClassVar[bool] = True
    classifier_temperature: ClassVar[float | None] = 0.05

    def __init__(self, network: Network, weight: NotNegative = 0.1) -> None:
        super().__init__(network)
        if not isinstance(list(network.classifier.modules())[-1], CosineClassifier):
            raise ValueError(
                "mme needs a classifier of features of length 1: set "
                f"classifier_temperature={self.classifier_temperature}"
            )
        self.weight = weight

    def forward(self, batch: Batch, progress: float) -> Step:
        """Compute the classification loss and the entropy, which reaches the features reversed."""
        source, labelled, target = self.forward_together(
            batch.source, batch.labelled_target, batch.target
        )
        step = classify(source, labelled, batch)
        logits = self.network.classifier(reverse_gradient(target.features, 1.0))
        target_entropy = entropy(logits).mean()
        return Step(
            step.losses | {"entropy": -self.weight * target_entropy},
            step.metrics | {"target_entropy": target_entropy.detach()},
        )
