"""What the clusters of each mixture layer stand for: how much each is used, and by whom.

Domains weigh the same, however many images each has. In a mixture per channel every channel has
clusters of its own, in order of their means; numbers are averages over channels.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from dacbn.analysis.clusters.agreement import Floats, adjusted_rand, entropy, nmi
from dacbn.analysis.observe.recording import Recording
from dacbn.analysis.observe.subject import Subject
from dacbn.norms import Mixture

DEAD = 0.01  # share of the activations below which a cluster is not in use


class Clusters(NamedTuple):
    """The clusters of one layer, K of them, over D domains and Y classes.

    A group is what has a mixture of its own: a channel, or all channels together.

    Args:
        occupancy: share of the activations by responsibility, (groups, K).
        by_domain: the same by domain, averaged over groups, (D, K).
        hard_by_domain: by the largest responsibility instead, (D, K).
        by_class: by domain and class, (D, Y, K); NaN where there is no such image.
        entropy: of the occupancy in nats, averaged over groups.
        effective: number of clusters exp(entropy), averaged over groups.
        information: what an activation says about its cluster, in nats: `entropy` less the mean
            entropy of single responsibilities; none where components are all alike.
        dead: share of the clusters whose occupancy is less than 1 %.
        overlap: Bhattacharyya coefficients of components, averaged over channels, (K, K); 1 where
            they normalise alike.
        images_by_domain: images by the cluster of their largest mean responsibility,
            (groups, D, K).
        images_by_class: the same by class, labelled images of all domains, (groups, Y, K).
        nmi: of images' clusters with domain and class, (2,); NaN where there are no two of them.
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
    """Look at the clusters of every mixture layer.

    Args:
        recording: of one or more domains.
        labels: by domain, those of the recorded images; a domain may have none.
        num_classes: classes Y.

    Raises:
        ValueError: no layer has a mixture; the text says which analyses apply.
    """
    refuse_without_mixture(recording)
    return {
        name: _look(recording, name, mixture, labels, num_classes)
        for name, mixture in recording.mixtures.items()
    }


def refuse_without_mixture(recording: Recording) -> None:
    """Say what can be looked at where there are no clusters.

    Raises:
        ValueError: no layer has a mixture.
    """
    if not recording.mixtures:
        raise ValueError(
            "no layer of this network has a mixture, so there are no clusters to look at: "
            "distributions and distances apply to every normaliser, clusters and the comparison "
            "with scikit-learn to ucb_norm, uan, mixture_norm, mode_norm and latent_domain_norm "
            "(where clusters are known by id, they are the domains)"
        )


def labels_of(subject: Subject, recording: Recording) -> dict[str, NDArray[np.int64]]:
    """Take the labels of the recorded images, of the domains that have labels."""
    return {
        domain: sample.labels[recording.images[domain]].numpy()
        for domain, sample in subject.samples.items()
        if sample.labels is not None
    }


def compute_overlap(mixture: Mixture) -> Floats:
    """Compute Bhattacharyya coefficients of a mixture's components: (K, K), mean over channels.

    Of two Gaussians: sqrt(2 s t / (s² + t²)) exp(-(m - n)² / (4 (s² + t²))).

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


def _look(
    recording: Recording,
    name: str,
    mixture: Mixture,
    labels: Mapping[str, NDArray[np.int64]],
    num_classes: int,
) -> Clusters:
    assigned = {domain: acts.assigned for domain, acts in recording.layers[name].items()}
    soft = {domain: _floats(a.soft) for domain, a in assigned.items() if a is not None}
    hard = {domain: _floats(a.hard) for domain, a in assigned.items() if a is not None}
    doubt = np.mean([_floats(a.doubt).mean() for a in assigned.values() if a is not None])
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
        information=float(max(entropy(occupancy).mean() - doubt, 0)),
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
    """Average an agreement over groups; NaN where fewer than two rows have anything."""
    if ((table.sum(2) > 0).sum(1) < 2).any():
        return float("nan")
    return float(measure(table).mean())
