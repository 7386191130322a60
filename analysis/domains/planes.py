"""Planes of embedded features, begun early: this file imports none of what draws them."""

import os
from collections.abc import Mapping
from functools import partial

import numpy as np

from dacbn.analysis.domains.tsne import MANY, PERPLEXITY, embed_features
from dacbn.analysis.helping_process import Begun, start
from dacbn.analysis.observe.outputs import DomainOutput, Floats, Labels

MAX_POINTS = 2000  # of each network: more take minutes, and overlap

Planes = Begun[list[tuple[Floats, float]]]
"""Of each network, points in the plane (N, 2) and their trustworthiness, in [0, 1]."""


def start_planes(
    outputs: Mapping[str, Mapping[str, DomainOutput]],
    perplexity: float = PERPLEXITY,
    seed: int = 0,
) -> Planes:
    """Begin to embed the features that networks, or layers of one, compute for the same images.

    Args:
        outputs: by network and domain (source first), of the same images.
        perplexity: of t-SNE.
        seed: for choosing images, and for t-SNE.
    """
    features = [_stack(of) for of in choose_outputs(outputs, seed).values()]
    if len(features[0]) < MANY:
        return Begun(partial(embed_features, features, perplexity, seed))
    cores = max(1, (os.cpu_count() or 1) - 1)
    return start(partial(embed_features, features, perplexity, seed, cores))


def choose_rows(outputs: Mapping[str, DomainOutput], seed: int) -> dict[str, Labels]:
    """Choose which images of each domain are drawn: as many as one panel can show."""
    share = MAX_POINTS // len(outputs)
    random = np.random.default_rng(seed)
    return {
        domain: np.sort(random.permutation(len(each.features))[:share])
        for domain, each in outputs.items()
    }


def choose_outputs(
    outputs: Mapping[str, Mapping[str, DomainOutput]], seed: int
) -> dict[str, dict[str, DomainOutput]]:
    """Choose as many images of each domain as one panel can show, the same for each network."""
    rows = choose_rows(next(iter(outputs.values())), seed)
    return {
        name: {
            domain: DomainOutput(
                *(part if part is None else part[rows[domain]] for part in each)  # type: ignore[arg-type]
            )
            for domain, each in of.items()
        }
        for name, of in outputs.items()
    }


def _stack(outputs: Mapping[str, DomainOutput]) -> Floats:
    return np.concatenate([each.features for each in outputs.values()])
