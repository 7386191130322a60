"""What the clusters hold, as pictures: for each cluster its typical images of every domain."""

from collections.abc import Sequence

import numpy as np

from dacbn.analysis.analyses import analyses
from dacbn.analysis.clusters.compute import require_mixture
from dacbn.analysis.observe.outputs import Floats, Labels
from dacbn.analysis.observe.recording import Recording
from dacbn.analysis.observe.subject import Subject
from dacbn.analysis.presentation.pictures import Gallery, Picture, take_pictures
from dacbn.analysis.presentation.section import Section

EACH = 8  # pictures of a cluster and domain
MAX_CLUSTERS = 8  # of a layer, with pictures
NAMED = 3  # classes that a cluster holds most of


@analyses.add("contents of the clusters", order=30, needs=("subject", "recording"))
def draw_contents(subject: Subject, recording: Recording) -> Section:
    """Show what each cluster of the first and of the last mixture layer holds.

    An image belongs to the cluster with its largest mean responsibility; where clusters differ by
    channel, to that in which most of its activations are.

    Args:
        subject: a network with mixture layers, and images.
        recording: of its normalisers.

    Raises:
        ValueError: no layer has a mixture.
    """
    require_mixture(recording)
    layers = list(recording.mixtures)
    findings: list[str] = []
    galleries: list[Gallery] = []
    for layer in dict.fromkeys((layers[-1], layers[0])):
        sentences, each = _of_layer(layer, subject, recording, folded=layer != layers[-1])
        findings += sentences
        galleries += each
    return Section(
        "What the clusters hold", tuple(findings), galleries=tuple(galleries), terms=("occupancy",)
    )


def _of_layer(
    layer: str, subject: Subject, recording: Recording, folded: bool
) -> tuple[list[str], list[Gallery]]:
    scores = {
        domain: activations.assigned.soft.mean(1).double().numpy()
        for domain, activations in recording.layers[layer].items()
        if activations.assigned is not None
    }
    count = next(iter(scores.values())).shape[1]
    depth = 1 + list(recording.layers).index(layer)
    place = f"{layer} (layer {depth} of {len(recording.layers)})"
    sentences: list[str] = []
    galleries: list[Gallery] = []
    for cluster in range(min(count, MAX_CLUSTERS)):
        held = {
            domain: np.flatnonzero(each.argmax(1) == cluster) for domain, each in scores.items()
        }
        rows = [
            (
                f"{domain}: {_describe(domain, rows, len(scores[domain]), subject, recording)}",
                _show(domain, rows, scores[domain][:, cluster], subject, recording),
            )
            for domain, rows in held.items()
        ]
        galleries.append(Gallery(f"{place}: cluster {cluster + 1}", tuple(rows), folded=folded))
    if not folded:
        shares = {domain: _shares(each) for domain, each in scores.items()}
        sentences.append(
            f"{place}: of the images of each domain, clusters 1 to {count} hold "
            + "; ".join(f"{domain} {shares[domain]}" for domain in shares)
            + "."
        )
    return sentences, galleries


def _shares(scores: Floats) -> str:
    counts = np.bincount(scores.argmax(1), minlength=scores.shape[1]) / len(scores)
    return "/".join(f"{share:.0%}" for share in counts)


def _describe(domain: str, rows: Labels, total: int, subject: Subject, recording: Recording) -> str:
    """Say how many images of a domain a cluster holds, and of which classes they are."""
    words = f"{len(rows)} of {total} images"
    labels = subject.samples[domain].labels
    if labels is None or not len(rows):
        return words
    here = labels[recording.images[domain]].numpy()[rows]
    counts = np.bincount(here, minlength=len(subject.classes))
    most = [int(label) for label in np.argsort(-counts, kind="stable")[:NAMED] if counts[label]]
    return f"{words}, most of them {_list(most, counts, subject.classes)}"


def _list(labels: Sequence[int], counts: Labels, classes: Sequence[str]) -> str:
    return ", ".join(f"{classes[label]} ({counts[label]})" for label in labels)


def _show(
    domain: str, rows: Labels, score: Floats, subject: Subject, recording: Recording
) -> tuple[Picture, ...]:
    chosen = rows[np.argsort(-score[rows], kind="stable")[:EACH]]
    sample = subject.samples[domain]
    at = recording.images[domain][chosen].tolist()
    labels = sample.labels
    lines = [
        (
            f"share {score[row]:.2f}",
            *((subject.classes[labels[image]],) if labels is not None else ()),
        )
        for row, image in zip(chosen.tolist(), at, strict=True)
    ]
    return take_pictures(sample, at, lines)
