"""Embed the features of several networks together by t-SNE, and score the distance of domains.

Papers: van der Maaten and Hinton, "Visualizing Data using t-SNE", JMLR 2008,
https://www.jmlr.org/papers/v9/vandermaaten08a.html; Ben-David et al., "Analysis of Representations
for Domain Adaptation", NIPS 2006, https://papers.nips.cc/paper/2983 (the proxy A-distance).
"""

import os
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from scipy.linalg import orthogonal_procrustes
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.manifold import TSNE, trustworthiness
from sklearn.metrics import silhouette_score
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from dacbn.analysis.observe.outputs import DomainOutput, Floats, Labels
from dacbn.analysis.observe.sides import pool

DIMENSIONS = 50  # of the PCA before t-SNE, as in the t-SNE paper
PERPLEXITY = 30.0
NUM_NEIGHBOURS = 10  # for trustworthiness
FOLDS = 5


class Scores(NamedTuple):
    """Scores of the features of one network.

    Attributes:
        proxy_distance: between the domains; see `compute_proxy_distance`.
        source_silhouette: of the classes, in [-1, 1]; NaN with fewer than two classes.
        target_silhouette: the same; NaN without labels.
    """

    proxy_distance: float
    source_silhouette: float
    target_silhouette: float


def align_features(features: Sequence[Floats]) -> list[Floats]:
    """Map the features that several networks compute for the same N images into one space.

    The features of each network are centred, scaled to a mean square length of 1, reduced to their
    first principal components and rotated towards those of the first network. Beyond the reduction,
    distances within a network change only by the scale.

    Args:
        features: of each network, (N, D); D may differ.

    Returns:
        of each network, (N, d) with the same d of at most 50.
    """
    size = min(DIMENSIONS, *(min(each.shape) for each in features))
    aligned: list[Floats] = []
    for each in features:
        centred = each - each.mean(0)
        length = np.sqrt(np.square(centred).sum(1).mean())
        with np.errstate(invalid="ignore"):  # PCA divides by a variance that may be 0
            reduced = PCA(size, random_state=0).fit_transform(centred / (length or 1))
        rotation = orthogonal_procrustes(reduced, aligned[0])[0] if aligned else np.eye(size)
        aligned.append(reduced @ rotation)
    return aligned


def compute_embedding(
    features: Floats,
    perplexity: float = PERPLEXITY,
    seed: int = 0,
    start: Floats | None = None,
) -> Floats:
    """Embed features (N, D) in the plane by t-SNE, after PCA.

    Args:
        features: of N images.
        perplexity: roughly the number of neighbours that t-SNE considers.
        seed: for t-SNE.
        start: initial points, (N, 2) of any scale; by default the first two principal components.

    Returns:
        (N, 2).

    Raises:
        ValueError: the sample is too small for the perplexity.
    """
    count, size = features.shape
    if count <= 3 * perplexity:
        raise ValueError(
            f"t-SNE with a perplexity of {perplexity:g} needs more than {3 * perplexity:g} images, "
            f"got {count}: give more images, or lower the perplexity"
        )
    reduced = PCA(min(DIMENSIONS, count, size), random_state=seed).fit_transform(features)
    begin = reduced[:, :2] if start is None else start
    std = begin[:, 0].std() or 1.0
    plane: Floats = TSNE(
        perplexity=perplexity, init=1e-4 / std * begin, learning_rate="auto", random_state=seed
    ).fit_transform(reduced)
    return plane.astype(np.float64)


def compute_embeddings(
    features: Sequence[Floats],
    perplexity: float = PERPLEXITY,
    seed: int = 0,
    cores: int | None = None,
) -> list[Floats]:
    """Embed the features that several networks compute for the same N images.

    Each network has its own t-SNE, because a joint t-SNE moves the points of one image together, so
    that a network that separates the domains looks like one that aligns them. The initial points
    are aligned, and the results are rotated towards the first network's.

    Args:
        features: of each network, (N, D); D may differ.
        perplexity: roughly the number of neighbours that t-SNE considers.
        seed: for t-SNE.
        cores: how many to use; None is all. They do not change the result.

    Returns:
        of each network, (N, 2).

    Raises:
        ValueError: the sample is too small for the perplexity.
    """
    cores = cores or os.cpu_count() or 1
    workers = min(len(features), cores)

    def embed(each: Floats) -> Floats:
        # OpenMP counts the threads of each calling thread
        with threadpool_limits(cores // workers, user_api="openmp"):
            return compute_embedding(each, perplexity, seed, each[:, :2])

    with ThreadPoolExecutor(workers) as threads:  # t-SNE releases the GIL
        found = list(threads.map(embed, align_features(features)))
    planes: list[Floats] = []
    for plane in found:
        plane -= plane.mean(0)
        planes.append(plane @ orthogonal_procrustes(plane, planes[0])[0] if planes else plane)
    return planes


def compute_proxy_distance(source: Floats, target: Floats, seed: int = 0) -> float:
    """Compute the proxy A-distance 2 (1 - 2 e) of features (N, D) and (M, D).

    e is the cross-validated error, balanced over the domains, of a logistic regression that
    predicts the domain. 2 means that the domains are perfectly separable, 0 (or slightly less)
    that the classifier is at chance.

    Raises:
        ValueError: a domain has too few images for cross-validation.
    """
    if min(len(source), len(target)) < FOLDS:
        raise ValueError(
            f"the proxy A-distance needs {FOLDS} images of each domain, got {len(source)} and "
            f"{len(target)}"
        )
    features = np.concatenate([source, target])
    domains = np.repeat([0, 1], [len(source), len(target)])
    classifier = make_pipeline(
        StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=500)
    )
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    with warnings.catch_warnings():  # a classifier that has not converged is good enough
        warnings.simplefilter("ignore", ConvergenceWarning)
        accuracy = cross_val_score(
            classifier, features, domains, cv=folds, scoring="balanced_accuracy"
        ).mean()
    return float(2 * (2 * accuracy - 1))


def compute_silhouette(features: Floats, labels: Labels | None) -> float:
    """Compute the mean silhouette of the classes for features (N, D); NaN if it is undefined."""
    if labels is None or not 1 < len(np.unique(labels)) < len(labels):
        return float("nan")
    return float(silhouette_score(features, labels))


def compute_trust(features: Floats, plane: Floats) -> float:
    """Compute the trustworthiness of an embedding (N, 2) of features (N, D), in [0, 1].

    It measures whether neighbours in the plane are neighbours among the features, by scikit-learn.
    """
    neighbours = min(NUM_NEIGHBOURS, (len(features) - 1) // 2)
    return float(trustworthiness(features, plane, n_neighbors=neighbours))


def compute_scores(outputs: Mapping[str, DomainOutput], seed: int = 0) -> Scores:
    """Score the features of source and target of one network.

    Args:
        outputs: by domain, sources and targets.
        seed: for the cross-validation.

    Raises:
        ValueError: there is no source or no target, or too few images.
    """
    source, target = pool(outputs, True), pool(outputs, False)
    if source is None or target is None:
        raise ValueError(f"there is only {', '.join(outputs)}: the scores need source and target")
    return Scores(
        compute_proxy_distance(source.features, target.features, seed),
        compute_silhouette(source.features, source.labels),
        compute_silhouette(target.features, target.labels),
    )
