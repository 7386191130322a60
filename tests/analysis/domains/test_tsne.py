"""Planes keep what is near."""

import numpy as np
import pytest
from planted_features import draw
from scipy.spatial.distance import pdist
from scipy.stats import ortho_group

from dacbn.analysis.domains.embeddings import compute_silhouette
from dacbn.analysis.domains.tsne import (
    align_features,
    compute_embedding,
    compute_embeddings,
    compute_trust,
)


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
