"""What a network says of the images of a subject: made once, looked at by several analyses."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dacbn.analysis.subject import Subject
from dacbn.training import run_network

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]


class DomainOutput(NamedTuple):
    """What a network says of N images of one domain.

    Args:
        features: (N, D).
        probabilities: of the classes, (N, C).
        labels: (N,), or None where there are none.
    """

    features: Floats
    probabilities: Floats
    labels: Labels | None

    @property
    def predictions(self) -> Labels:
        """The most probable class of each image (N,)."""
        predicted: Labels = self.probabilities.argmax(1)
        return predicted


def compute_outputs(subject: Subject) -> dict[str, DomainOutput]:
    """Pass all images of a subject through its network; return what it says, by domain."""
    outputs = {}
    for domain, sample in subject.samples.items():
        network: Any = subject.network  # whatever is called as a Network will do
        output = run_network(network, sample.images, sample.cluster_id, subject.device)
        labels = None if sample.labels is None else sample.labels.numpy()
        features, probabilities = (
            tensor.double().numpy() for tensor in (output.features, output.logits.softmax(1))
        )
        outputs[domain] = DomainOutput(features, probabilities, labels)
    return outputs
