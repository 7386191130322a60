"""Embed the features before and after training while other analyses are drawn."""

from collections.abc import Mapping
from typing import NamedTuple

from dacbn.analysis.domains.planes import Planes, start_planes
from dacbn.analysis.observe.outputs import DomainOutput, compute_outputs
from dacbn.analysis.observe.subject import Subject


class Embedding(NamedTuple):
    """The embedding of the features of one network before and after training, or only after.

    Attributes:
        outputs: by network and domain.
        planes: the points; a ValueError if the sample is too small.
    """

    outputs: Mapping[str, Mapping[str, DomainOutput]]
    planes: Planes


def start_embedding(
    outputs: Mapping[str, DomainOutput],
    subject: Subject,
    untrained: Subject | None = None,
    seed: int = 0,
) -> Embedding:
    """Begin to embed features.

    Args:
        outputs: of the trained network, by domain.
        subject: the trained network.
        untrained: the network before training, with the same images.
        seed: for choosing images, and for t-SNE.
    """
    before = {} if untrained is None else {untrained.name: compute_outputs(untrained)}
    by_network = {**before, subject.name: outputs}
    return Embedding(by_network, start_planes(by_network, seed=seed))
