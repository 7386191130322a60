"""ROID: weights, loss, pull and prior in loops, and one step by hand."""

import math

import numpy as np
import pytest
import torch
from colour_shift import ByHand, accuracy, affine_of, draw_images

from dacbn.methods import roid
from dacbn.methods.roid import ROID, correct_prior, weigh

TARGET = torch.ones(64, dtype=torch.int64)


def weights_by_hand(p, mean):
    """Compute the weights in loops."""

    def scaled(values):
        return [(value - min(values)) / (max(values) - min(values)) for value in values]

    def cosine(a, b):
        return sum(x * y for x, y in zip(a, b, strict=True)) / math.sqrt(
            sum(x * x for x in a) * sum(y * y for y in b)
        )

    diverse = scaled([1 - cosine(row, mean) for row in p])
    certain = scaled([sum(q * math.log(q) for q in row) for row in p])
    usual = sum(diverse) / len(diverse)
    return np.array(
        [math.exp(3 * d * c) if d >= usual else 0.0 for d, c in zip(diverse, certain, strict=True)]
    )


def loss_by_hand(logits, weights):
    """Compute the loss of a batch whose views are the images themselves."""
    total = 0.0
    for row, weight in zip(logits, weights, strict=True):
        p = np.exp(row - row.max())
        p /= p.sum()
        clipped = np.minimum(p, 0.99)
        ratio = -sum(q * math.log(q / (1 - q) + 1e-5) for q in clipped)
        total += weight * (ratio - sum(q * math.log(q) for q in p))
    return total / len(logits)


def test_weights_are_those_of_the_paper(generator):
    p = (2 * torch.randn(20, 4, generator=generator)).softmax(1)
    mean = torch.tensor([0.4, 0.3, 0.2, 0.1])
    wanted = weights_by_hand(p.double().tolist(), mean.double().tolist())
    assert 0 < (wanted > 0).sum() < 20
    np.testing.assert_allclose(weigh(p, mean), wanted, rtol=1e-4)


def test_answers_are_multiplied_by_the_smoothed_prior(generator):
    p = (2 * torch.randn(5, 4, generator=generator)).softmax(1).double()
    prior = p.numpy().mean(0)
    smooth = max(1 / 5, 1 / 4) / prior.max()
    wanted = p.numpy() * (prior + smooth) / (1 + smooth * 4)
    wanted /= wanted.sum(1, keepdims=True)
    np.testing.assert_allclose(correct_prior(p.log()).exp(), wanted)


def test_one_step_follows_the_paper(network, generator, monkeypatch):
    monkeypatch.setattr(roid, "random_views", lambda images, generator: images)
    images, _ = draw_images(64, True, generator)
    # the views are normalised by themselves: with all images among them they are the images
    monkeypatch.setattr(roid, "weigh", lambda p, mean: torch.linspace(0.5, 2, len(p)).to(p))
    by_hand, start = ByHand(network, images), affine_of(network)
    weights = np.linspace(0.5, 2, 64)
    slope = np.zeros(6)
    for i in range(6):
        step = np.zeros(6)
        step[i] = 1e-6
        high, low = (loss_by_hand(by_hand.logits(start + s * step), weights) for s in (1, -1))
        slope[i] = (high - low) / 2e-6
    method = ROID(network, lr=0.01, pull=0.25)
    method.predict(images, TARGET)
    gradients = torch.cat([each.grad for each in method.parameters])
    np.testing.assert_allclose(gradients, slope, rtol=2e-3, atol=1e-5)
    moved = start - 0.01 * slope / (abs(slope) + 1e-8)
    wanted = 0.75 * moved + 0.25 * start
    np.testing.assert_allclose(affine_of(method.network), wanted, rtol=1e-4, atol=1e-5)
    p = torch.tensor(by_hand.logits(start)).softmax(1).mean(0)
    np.testing.assert_allclose(method.mean, 0.9 / 3 + 0.1 * p, rtol=1e-4)


@pytest.mark.parametrize("count", [1, 2, 9])
def test_small_batches_of_like_images_are_answered(network, generator, count):
    images = draw_images(1, True, generator)[0].expand(count, -1, -1, -1)
    method = ROID(network)
    for _ in range(3):
        assert method.predict(images, TARGET[:count]).logits.isfinite().all()
    assert np.isfinite(affine_of(method.network)).all()


def test_a_shift_of_colours_is_undone(network, generator):
    method, right = ROID(network, lr=0.02), []
    for _ in range(20):
        images, labels = draw_images(64, True, generator)
        right.append(accuracy(method.predict(images, TARGET).logits, labels))
    assert np.mean(right[-5:]) > 0.9
