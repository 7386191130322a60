"""Measure the clusters of mixture layers: how much each is used, by which domains and classes.

All domains have the same weight, regardless of their numbers of images. In a mixture per channel,
each channel has its own clusters, sorted by their means; numbers are averages over channels.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from dacbn.analysis.clusters.agreement import adjusted_rand, entropy, nmi
from dacbn.analysis.observe.outputs import Floats
from dacbn.analysis.observe.recording import Recording
from dacbn.analysis.observe.subject import Subject
from dacbn.norms import Mixture, Norm, norms

DEAD = 0.01  # share of the activations below which a cluster is not in use
MAX_OVERLAP = 0.95  # mean overlap of components from which they normalise alike


class Clusters(NamedTuple):
    """The clusters of one layer, K of them, over D domains and Y classes.

    A group is a set of channels that share one mixture: a single channel, or all of them.

    Attributes:
        occupancy: share of the activations by responsibility, (groups, K).
        by_domain: the same by domain, averaged over groups, (D, K).
        hard_by_domain: by the largest responsibility instead, (D, K).
        by_class: by domain and class, (D, Y, K); NaN where there is no such image.
        entropy: of the occupancy in nats, averaged over groups.
        effective: number of clusters exp(entropy), averaged over groups.
        information: between an activation and its cluster, in nats: `entropy` minus the mean
            entropy of single responsibilities; 0 if all components are equal.
        dead: share of the clusters with an occupancy of less than 1 %.
        overlap: Bhattacharyya coefficients of components, averaged over channels, (K, K); 1 for
            equal components.
        images_by_domain: number of images whose largest mean responsibility is each cluster's,
            (groups, D, K).
        images_by_class: the same by class, for labelled images of all domains, (groups, Y, K).
        nmi: of the images' clusters with domain and class, (2,); NaN with fewer than two domains
            or classes.
        ari: the adjusted Rand index of the same.
        value_nmi: of the clusters of single activations with domain and class, (2,).
    """

    occupancy: Floats
    by_domain: Floats
    hard_by_domain: Floats
    by_class: Floats
    entropy: float
    effective: float
    information: float
    dead: float
    overlap: Floats
    images_by_domain: Floats
    images_by_class: Floats
    nmi: Floats
    ari: Floats
    value_nmi: Floats


def compute_clusters(
    recording: Recording, labels: Mapping[str, NDArray[np.int64]], num_classes: int
) -> dict[str, Clusters]:
    """Measure the clusters of every mixture layer.

    Args:
        recording: of one or more domains.
        labels: of the recorded images, by domain; domains without labels are absent.
        num_classes: number of classes Y.

    Raises:
        ValueError: no layer has a mixture; the text names the analyses that apply.
    """
    require_mixture(recording)
    return {
        name: _measure(recording, name, mixture, labels, num_classes)
        for name, mixture in recording.mixtures.items()
    }


def require_mixture(recording: Recording) -> None:
    """Check that some layer has a mixture.

    Raises:
        ValueError: no layer has one; the text names the analyses that apply.
    """
    if not recording.mixtures:
        raise ValueError(
            "no layer of this network has a mixture, so there are no clusters to analyse: "
            "distributions and distances apply to every normaliser, clusters and the comparison "
            f"with scikit-learn to {', '.join(find_clustering_norms())} (where clusters are known "
            "by id, they are the domains)"
        )


def find_clustering_norms() -> list[str]:
    """Return the names of the registered norms that find clusters."""
    return [name for name in norms if norms[name].mixture is not Norm.mixture]


def labels_of(subject: Subject, recording: Recording) -> dict[str, NDArray[np.int64]]:
    """Return the labels of the recorded images, by domain; domains without labels are absent."""
    return {
        domain: sample.labels[recording.images[domain]].numpy()
        for domain, sample in subject.samples.items()
        if sample.labels is not None
    }


def compute_overlap(mixture: Mixture) -> Floats:
    """Compute Bhattacharyya coefficients of a mixture's components: (K, K), mean over channels.

    For two Gaussians: sqrt(2 s t / (s² + t²)) exp(-(m - n)² / (4 (s² + t²))).

    Example:
        >>> import torch
        >>> share, var = torch.full((2, 1), 0.5), torch.ones(2, 1)
        >>> mixture = Mixture(share, torch.tensor([[0.0], [2.0]]), var, "channel")
        >>> compute_overlap(mixture).round(3)  # exp(-2² / 8) of the two components
        array([[1.   , 0.607],
               [0.607, 1.   ]], dtype=float32)
    """
    mean, var = mixture.mean, mixture.var
    total = var[:, None] + var[None]
    ratio = (2 * (var[:, None] * var[None]).sqrt() / total).sqrt()
    apart = (mean[:, None] - mean[None]).square() / (4 * total)
    overlap: Floats = (ratio * (-apart).exp()).mean(2).numpy()
    return overlap


def mean_overlap(clusters: Clusters) -> float:
    """Average the overlap of each two components in use; NaN if fewer than two are in use."""
    used = np.flatnonzero(clusters.occupancy.mean(0) >= DEAD)
    pairs = clusters.overlap[np.ix_(used, used)][np.triu_indices(len(used), 1)]
    return float(pairs.mean()) if len(pairs) else float("nan")


def _measure(
    recording: Recording,
    name: str,
    mixture: Mixture,
    labels: Mapping[str, NDArray[np.int64]],
    num_classes: int,
) -> Clusters:
    assigned = {domain: acts.assigned for domain, acts in recording.layers[name].items()}
    soft = {domain: _floats(a.soft) for domain, a in assigned.items() if a is not None}
    hard = {domain: _floats(a.hard) for domain, a in assigned.items() if a is not None}
    uncertainty = np.mean([_floats(a.entropy).mean() for a in assigned.values() if a is not None])
    by_domain = np.stack([value.mean(0) for value in soft.values()])  # (D, groups, K)
    hard_by_domain = np.stack([value.mean(0) for value in hard.values()])
    occupancy = by_domain.mean(0)
    best = {domain: _one_hot(value) for domain, value in soft.items()}
    images_by_domain = np.stack([value.sum(0) for value in best.values()], 1)
    images_by_class = _sum_by_class(best, labels, num_classes)
    values_by_class = _sum_by_class(hard, labels, num_classes)
    tables = images_by_domain, images_by_class
    return Clusters(
        occupancy,
        by_domain.mean(1),
        hard_by_domain.mean(1),
        np.stack([_mean_by_class(soft[d], labels.get(d), num_classes) for d in soft]),
        entropy=float(entropy(occupancy).mean()),
        effective=float(np.exp(entropy(occupancy)).mean()),
        information=float(max(entropy(occupancy).mean() - uncertainty, 0)),
        dead=float((occupancy < DEAD).mean()),
        overlap=compute_overlap(mixture),
        images_by_domain=images_by_domain,
        images_by_class=images_by_class,
        nmi=np.array([_average(nmi, table) for table in tables]),
        ari=np.array([_average(adjusted_rand, table) for table in tables]),
        value_nmi=np.array(
            [_average(nmi, table) for table in (hard_by_domain.swapaxes(0, 1), values_by_class)]
        ),
    )


def _floats(value: Tensor) -> Floats:
    floats: Floats = value.double().numpy()
    return floats


def _one_hot(soft: Floats) -> Floats:
    chosen: Floats = np.eye(soft.shape[-1])[soft.argmax(-1)]
    return chosen


def _sum_by_class(
    values: Mapping[str, Floats], labels: Mapping[str, NDArray[np.int64]], num_classes: int
) -> Floats:
    """Sum (N, groups, K) of labelled images by class: (groups, Y, K)."""
    first = next(iter(values.values()))
    total = np.zeros((num_classes, *first.shape[1:]))
    for domain, value in values.items():
        if domain in labels:
            np.add.at(total, labels[domain], value)
    return total.swapaxes(0, 1)


def _mean_by_class(soft: Floats, labels: NDArray[np.int64] | None, num_classes: int) -> Floats:
    """Average (N, groups, K) over groups and the images of each class: (Y, K)."""
    means = np.full((num_classes, soft.shape[2]), np.nan)
    if labels is not None:
        for label in np.unique(labels):
            means[label] = soft[labels == label].mean((0, 1))
    return means


def _average(measure: Callable[[Floats], Floats], table: Floats) -> float:
    """Average an agreement over groups; NaN if fewer than two rows have any counts."""
    if ((table.sum(2) > 0).sum(1) < 2).any():
        return float("nan")
    return float(measure(table).mean())
