"""Score how far the features of two domains are apart, and how well they separate the classes.

Paper: Ben-David et al., "Analysis of Representations for Domain Adaptation", NIPS 2006,
https://papers.nips.cc/paper/2983 (the proxy A-distance).
"""

import warnings
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import silhouette_score
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from dacbn.analysis.observe.outputs import DomainOutput, Floats, Labels
from dacbn.analysis.observe.sides import pool

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
    # a classifier that has not converged is good enough; threads slow products this small down
    with warnings.catch_warnings(), threadpool_limits(1, user_api="blas"):
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
