"""Information maximisation: confident and diverse target predictions.

Paper: Liang et al., "Do We Really Need to Access the Source Data? Source Hypothesis Transfer for
Unsupervised Domain Adaptation", ICML 2020 (SHOT-IM), https://arxiv.org/abs/2002.08546.

With p_i the prediction of the i-th of B target images, the loss is
weight * (mean_i H(p_i) - H(mean_i p_i)), H(p) = -sum_c p_c log p_c. It is minus the mutual
information of image and predicted class, between -log C and 0; its second term prevents the trivial
solution of one class for all images.
Differs from the paper: source images are used throughout, in one stage instead of two; the
classifier learns from both domains, where the paper freezes it after the source; without
pseudo-labels and label smoothing.
"""

from typing import ClassVar

from torch import Tensor

from dacbn.batch import Output
from dacbn.limits import NotNegative
from dacbn.losses import entropy, log_probabilities
from dacbn.methods.method import Method, Step, methods
from dacbn.models import Network


@methods.register("information_maximisation")
class InformationMaximisation(Method):
    """Classify the source, and make target predictions confident but diverse.

    Args:
        network: the network to train.
        weight: weight of the mutual information.
        entropy: weight of the mean entropy in it. Zero leaves H(mean_i p_i), the diversity of the
            predictions, alone, for methods that are confident by themselves.
    """

    of_predictions: ClassVar[bool] = True

    def __init__(
        self, network: Network, weight: NotNegative = 1.0, entropy: NotNegative = 1.0
    ) -> None:
        super().__init__(network)
        self.weight = weight
        self.entropy = entropy

    def transfer(
        self, source: Output, target: Output, source_labels: Tensor, progress: float
    ) -> Step:
        """Compute minus the mutual information of target image and predicted class."""
        information = mutual_information(target.logits)
        left_out = (1 - self.entropy) * entropy(target.logits).mean()
        return Step(
            {"information": -self.weight * (information + left_out)},
            {"mutual_information": information.detach()},
        )


def mutual_information(logits: Tensor) -> Tensor:
    """Compute H(mean of predictions) - mean of H(prediction), in nats, from logits (B, C)."""
    # in log space, a class that is never predicted stays finite
    log_sum = log_probabilities(logits).logsumexp(0, keepdim=True)
    return (entropy(log_sum) - entropy(logits)).mean()
