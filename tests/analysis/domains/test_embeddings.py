"""Numbers on planted features are those of closed forms."""

import numpy as np
import pytest
from planted_features import draw
from scipy.stats import norm as gaussian

from dacbn.analysis.domains.embeddings import (
    compute_proxy_distance,
    compute_scores,
    compute_silhouette,
)
from dacbn.analysis.observe.outputs import DomainOutput


def test_far_domains_are_two_apart():
    assert compute_proxy_distance(draw(100), draw(80, shift=50)) == 2


@pytest.mark.parametrize("shift", [0.0, 1.0, 2.0])
def test_the_distance_of_two_gaussians_is_that_of_the_best_line(shift):
    distance = compute_proxy_distance(draw(3000, 2), draw(3000, 2, shift, seed=1))
    error = gaussian.cdf(-shift / 2)
    assert distance == pytest.approx(2 * (1 - 2 * error), abs=0.08)


def test_a_small_domain_counts_as_much_as_a_large_one():
    assert abs(compute_proxy_distance(draw(2000, 2), draw(200, 2, seed=1))) < 0.25
    nearly = compute_proxy_distance(draw(2000, 2), draw(200, 2, 2.0, seed=1))
    assert nearly == pytest.approx(2 * (1 - 2 * gaussian.cdf(-1)), abs=0.2)


def test_too_few_images_to_cross_validate_are_refused():
    with pytest.raises(ValueError, match="needs 5 images of each domain, got 9 and 4"):
        compute_proxy_distance(draw(9), draw(4))


def test_silhouettes_are_those_computed_by_hand():
    line = np.array([[0.0], [1.0], [10.0], [11.0]])
    outer, inner = 1 - 1 / 10.5, 1 - 1 / 9.5
    labels = np.array([0, 0, 1, 1])
    assert compute_silhouette(line, labels) == pytest.approx((outer + inner) / 2)


@pytest.mark.parametrize("labels", [None, np.zeros(4, int), np.arange(4)])
def test_a_silhouette_without_meaning_is_no_number(labels):
    assert np.isnan(compute_silhouette(draw(4), labels))


def test_scores_are_of_source_and_target():
    source = DomainOutput(draw(30), np.eye(2)[np.zeros(30, int)], np.arange(30) % 2)
    target = DomainOutput(draw(30, shift=40), np.eye(2)[np.zeros(30, int)], None)
    scores = compute_scores({"source": source, "target": target})
    assert scores.proxy_distance == 2
    assert scores.source_silhouette == pytest.approx(
        compute_silhouette(source.features, source.labels)
    )
    assert np.isnan(scores.target_silhouette)
    with pytest.raises(ValueError, match="there is only source: the scores need source and target"):
        compute_scores({"source": source})
