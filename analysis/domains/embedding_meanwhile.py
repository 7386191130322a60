"""Embed the features before and after training in a thread, while other analyses are drawn.

t-SNE takes a third of the time of a report and one core; drawing takes another.
"""

import os
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

from dacbn.analysis.domains.embedding_figures import Embeddings, embed_outputs
from dacbn.analysis.observe.outputs import DomainOutput, compute_outputs
from dacbn.analysis.observe.subject import Subject


class Embedding(NamedTuple):
    """The embedding of the features of one network before and after training, or only after.

    Attributes:
        outputs: by network and domain.
        found: the points; a ValueError if the sample is too small.
    """

    outputs: Mapping[str, Mapping[str, DomainOutput]]
    found: Future[Embeddings]


def start_embedding(
    outputs: Mapping[str, DomainOutput],
    subject: Subject,
    untrained: Subject | None = None,
    seed: int = 0,
) -> Embedding:
    """Start to embed features; one core is left to others, if there are several.

    Args:
        outputs: of the trained network, by domain.
        subject: the trained network.
        untrained: the network before training, with the same images.
        seed: for choosing images, and for t-SNE.
    """
    before = {} if untrained is None else {untrained.name: compute_outputs(untrained)}
    by_network = {**before, subject.name: outputs}
    cores = max(1, (os.cpu_count() or 1) - 1)
    thread = ThreadPoolExecutor(1, thread_name_prefix="embedding")
    found = thread.submit(embed_outputs, by_network, seed=seed, cores=cores)
    thread.shutdown(wait=False)
    return Embedding(by_network, found)
