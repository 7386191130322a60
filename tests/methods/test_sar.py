"""SAR: which images count, where its gradient is taken, and when it starts again."""

import math

import numpy as np
import pytest
import torch
from colour_shift import ByHand, accuracy, affine_of, draw_images

from dacbn.methods import SAR
from dacbn.models import with_norm

TARGET = torch.ones(64, dtype=torch.int64)


def step_by_hand(by_hand, start, lr, margin, radius):
    """Return where the first step leads, and the mean entropy that is watched."""
    largest = margin * math.log(3)
    reliable = by_hand.entropies(start) < largest
    slope = by_hand.slope(start, reliable)
    there = start + radius * slope / math.sqrt(float(slope @ slope))
    still = reliable & (by_hand.entropies(there) < largest)
    assert 0 < still.sum() <= reliable.sum() < 64  # some count, and some do not
    return start - lr * by_hand.slope(there, still), by_hand.entropies(there)[still].mean()


@pytest.mark.parametrize(("share", "radius"), [(0.4, 0.05), (0.7, 0.5)])
def test_one_step_follows_the_paper(network, images, share, radius):
    by_hand, start = ByHand(network, images), affine_of(network)
    margin = np.quantile(by_hand.entropies(start), share) / math.log(3)
    method = SAR(network, lr=0.1, margin=margin, radius=radius, reset_below=0.0)
    output = method.predict(images, TARGET)
    np.testing.assert_allclose(output.logits, by_hand.logits(start), rtol=1e-4, atol=1e-5)
    wanted, watched = step_by_hand(by_hand, start, 0.1, margin, radius)
    np.testing.assert_allclose(affine_of(method.network), wanted, rtol=1e-4, atol=1e-5)
    assert method.mean_entropy == pytest.approx(watched, rel=1e-4)


def test_nothing_moves_where_no_prediction_is_reliable(network, images):
    method = SAR(network, margin=1e-6)
    method.predict(images, TARGET)
    assert np.array_equal(affine_of(method.network), affine_of(network))
    assert method.mean_entropy is None


def test_an_ascent_that_leaves_nothing_reliable_is_taken_back(network, images):
    largest = ByHand(network, images).entropies(affine_of(network)).min() * 1.0001
    method = SAR(network, margin=largest / math.log(3), radius=3.0)
    method.predict(images, TARGET)
    np.testing.assert_allclose(affine_of(method.network), affine_of(network), rtol=1e-5)


def test_the_running_mean_is_nine_parts_old_and_one_new(network):
    method = SAR(network, reset_below=0.0)
    for newest, wanted in [(0.5, 0.5), (0.3, 0.48), (1.0, 0.532)]:
        method.check_collapse(newest)
        assert method.mean_entropy == pytest.approx(wanted)


def test_a_collapse_starts_again_from_the_trained_network(network, images):
    method = SAR(network, lr=0.1, margin=0.9, reset_below=0.0)
    method.predict(images, TARGET)
    assert not np.array_equal(affine_of(method.network), affine_of(network))
    method.reset_below = 0.2
    method.check_collapse(0.21)
    method.mean_entropy = 0.2001
    method.check_collapse(0.19)  # 0.9 * 0.2001 + 0.1 * 0.19 < 0.2
    found = dict(method.network.named_parameters())
    assert all(torch.equal(value, found[name]) for name, value in network.named_parameters())
    assert method.mean_entropy is None and not method.optimizer.state


def test_a_collapse_leaves_the_statistics_that_follow_the_stream(network, images):
    method = SAR(with_norm(network, "robust_batch_norm(rate=0.5)"), margin=1.0, reset_below=10.0)
    method.predict(images, TARGET)
    assert not method.optimizer.state  # it has been reset
    assert not torch.equal(
        method.network.backbone.norm.running_mean, network.backbone.norm.running_mean
    )


def test_a_shift_of_colours_is_undone(network, generator):
    method, right = SAR(network, lr=0.05, margin=0.8), []
    for _ in range(20):
        images, labels = draw_images(64, True, generator)
        right.append(accuracy(method.predict(images, TARGET).logits, labels))
    assert np.mean(right[-5:]) > 0.9
