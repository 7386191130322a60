"""Numbers on planted features are those of closed forms, and pictures keep what is near."""

import numpy as np
import pytest
from scipy.spatial.distance import pdist
from scipy.stats import norm as gaussian
from scipy.stats import ortho_group

from dacbn.analysis.domains.embeddings import (
    align_features,
    compute_embedding,
    compute_embeddings,
    compute_proxy_distance,
    compute_scores,
    compute_silhouette,
    compute_trust,
)
from dacbn.analysis.observe.outputs import DomainOutput


def draw(count, size=3, shift=0.0, seed=0):
    features = np.random.default_rng(seed).normal(size=(count, size))
    features[:, 0] += shift
    return features


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


def test_a_picture_that_is_the_truth_is_trusted_and_a_random_one_is_not():
    features = draw(100, 2)
    assert compute_trust(features, 3 * features) == 1
    assert compute_trust(features, draw(100, 2, seed=1)) < 0.7


def test_a_rotated_copy_is_aligned_with_its_original():
    features = draw(40, 6) * [5, 4, 3, 2, 1, 0.5]
    turned = 7 * features @ ortho_group.rvs(6, random_state=0) + 3
    first, second = align_features([features, turned])
    assert second == pytest.approx(first, abs=1e-9)


def test_alignment_scales_and_bends_nothing():
    features = [draw(30, 4), draw(30, 9, seed=1) * np.arange(1, 10)]
    aligned = align_features(features)
    assert aligned[0].shape == aligned[1].shape == (30, 4)
    ratios = pdist(aligned[0]) / pdist(features[0])
    assert ratios == pytest.approx(np.full_like(ratios, ratios[0]))
    assert np.square(aligned[0]).sum(1).mean() == pytest.approx(1)
    assert compute_trust(features[1][:, -4:], aligned[1]) > 0.8


def test_constant_features_are_laid_out_too():
    assert np.isfinite(align_features([np.ones((10, 3))])[0]).all()


def test_planted_groups_stay_apart_in_the_plane():
    features = np.concatenate([draw(20, 5), draw(20, 5, shift=30, seed=1)])
    plane = compute_embedding(features, perplexity=5)
    assert plane.shape == (40, 2)
    assert compute_silhouette(plane, np.repeat([0, 1], 20)) > 0.6
    assert np.array_equal(plane, compute_embedding(features, perplexity=5))


def test_a_rotated_copy_is_laid_out_like_its_original():
    features = np.concatenate([draw(20, 5), draw(20, 5, shift=30, seed=1)])
    turned = 7 * features @ ortho_group.rvs(5, random_state=0) + 3
    first, second = compute_embeddings([features, turned], perplexity=5)
    moved = np.linalg.norm(first - second, axis=1)
    assert np.median(moved) < 0.1 * np.linalg.norm(first - first.mean(0), axis=1).mean()


def test_no_network_makes_another_look_like_it():
    by_first, by_second = np.repeat([0, 1], 30), np.tile([0, 1], 30)
    features = [
        draw(60, 5, seed=place) + 40 * np.eye(2, 5)[labels]
        for place, labels in enumerate((by_first, by_second))
    ]
    first, second = compute_embeddings(features, perplexity=8)
    for plane, own, other in ((first, by_first, by_second), (second, by_second, by_first)):
        assert compute_silhouette(plane, own) > 0.5
        assert abs(compute_silhouette(plane, other)) < 0.1


@pytest.mark.parametrize("cores", [1, 3])
def test_cores_do_not_change_the_planes(cores):
    features = [draw(60, 5), draw(60, 5, shift=3, seed=1)]
    found = compute_embeddings(features, perplexity=8, cores=cores)
    first, second = align_features(features)
    alone = [compute_embedding(each, 8, start=each[:, :2]) for each in (first, second)]
    assert np.allclose(found[0], alone[0] - alone[0].mean(0))
    distances = [np.linalg.norm(each - each[:1], axis=1) for each in (found[1], alone[1])]
    assert np.allclose(*distances, rtol=1e-4)  # it is rotated towards the first


def test_a_sample_below_the_perplexity_is_refused_with_the_numbers():
    with pytest.raises(ValueError, match="perplexity of 30 needs more than 90 images, got 90"):
        compute_embedding(draw(90))


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
