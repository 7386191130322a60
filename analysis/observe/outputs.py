"""Features and class probabilities of a network, computed once and shared by several analyses."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dacbn.analysis.observe.recording import Recording
from dacbn.analysis.observe.subject import Subject
from dacbn.training import run_network

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]


class DomainOutput(NamedTuple):
    """Features and predictions of a network for N images of one domain.

    Attributes:
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
    """Pass all images of a subject through its network; return the outputs by domain."""
    outputs = {}
    for domain, sample in subject.samples.items():
        network: Any = subject.network  # anything that is called like a Network
        output = run_network(network, sample.images, sample.cluster_id, subject.device)
        labels = None if sample.labels is None else sample.labels.numpy()
        features, probabilities = (
            tensor.double().numpy() for tensor in (output.features, output.logits.softmax(1))
        )
        outputs[domain] = DomainOutput(features, probabilities, labels)
    return outputs


def outputs_at(
    layers: Sequence[str], outputs: Mapping[str, DomainOutput], recording: Recording
) -> dict[str, dict[str, DomainOutput]]:
    """Return outputs with the activations after chosen layers in place of the features.

    Args:
        layers: names, or patterns such as "backbone.layer1.*".
        outputs: by domain, of all images of the recorded subject.
        recording: of its layers.

    Returns:
        by layer and domain; the features are the layer's outputs, averaged over positions.

    Raises:
        ValueError: no recorded layer has such a name; the text lists them.
    """
    chosen = [name for name in recording.layers if any(fnmatch(name, each) for each in layers)]
    if not chosen:
        raise ValueError(
            f"no normaliser is named like {', '.join(layers)}: there are "
            f"{', '.join(recording.layers)}"
        )
    rows = {domain: images.numpy() for domain, images in recording.images.items()}
    return {
        name: {
            domain: DomainOutput(
                recording.layers[name][domain].pooled_outputs.double().numpy(),
                each.probabilities[rows[domain]],
                None if each.labels is None else each.labels[rows[domain]],
            )
            for domain, each in outputs.items()
        }
        for name in chosen
    }
