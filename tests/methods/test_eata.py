"""EATA: which images count and how much, what holds the source, and two steps by hand."""

import math

import numpy as np
import torch
from colour_shift import ByHand, accuracy, affine_of, draw_images

from dacbn.methods.eata import EATA

TARGET = torch.ones(64, dtype=torch.int64)


def softmax(logits):
    exponentials = np.exp(logits - logits.max(1, keepdims=True))
    return exponentials / exponentials.sum(1, keepdims=True)


def slope_of(by_hand, start, counted, weights):
    """Return the gradient of the mean of weight times entropy over images that count."""
    gradient = np.zeros(6)
    for i in range(6):
        step = np.zeros(6)
        step[i] = 1e-6
        high, low = by_hand.entropies(start + step), by_hand.entropies(start - step)
        gradient[i] = (weights * (high - low))[counted].mean() / 2e-6
    return gradient


def importance_by_hand(network, images):
    """Return the mean squared slope of the cross-entropy, image by image, in evaluation."""
    norm, by_hand, start = network.backbone.norm, ByHand(network, images), affine_of(network)
    means = ((images - network.pixel_mean) / network.pixel_std).mean((2, 3)).double().numpy()
    spread = np.sqrt(norm.running_var.double().numpy() + norm.eps)
    by_hand.standard = (means - norm.running_mean.double().numpy()) / spread
    labels = by_hand.logits(start).argmax(1)
    rows, slopes = np.arange(len(images)), np.zeros((len(images), 6))
    for i in range(6):
        step = np.zeros(6)
        step[i] = 1e-5
        high, low = (
            -np.log(softmax(by_hand.logits(start + sign * step))[rows, labels]) for sign in (1, -1)
        )
        slopes[:, i] = (high - low) / 2e-5
    return (slopes**2).mean(0)


def test_two_steps_follow_the_paper(network, generator):
    first, second = (draw_images(64, True, generator)[0] for _ in range(2))
    source, _ = draw_images(12, False, generator)
    options = {"margin": 0.1, "similar": 0.6, "anchor": 30.0, "lr": 0.1}
    method = EATA(network, **options)
    method.learn_source([source[:8], source[8:]], 0)
    importance = importance_by_hand(network, source)
    np.testing.assert_allclose(torch.cat(method.importance), importance, rtol=1e-2, atol=1e-6)
    start = now = affine_of(network)
    velocity, mean = np.zeros(6), None
    for images in (first, second):
        by_hand = ByHand(network, images)
        output = method.predict(images, TARGET)
        np.testing.assert_allclose(output.logits, by_hand.logits(now), rtol=1e-3, atol=1e-4)
        entropies, p = by_hand.entropies(now), softmax(by_hand.logits(now))
        counted = entropies < 0.1 * math.log(3)
        if mean is not None:
            cosines = p @ mean / np.linalg.norm(p, axis=1) / np.linalg.norm(mean)
            counted &= abs(cosines) < 0.6
        assert 0 < counted.sum() < 64
        newest = p[counted].mean(0)
        mean = newest if mean is None else 0.9 * mean + 0.1 * newest
        slope = slope_of(by_hand, now, counted, np.exp(0.1 * math.log(3) - entropies))
        slope += 30.0 * 2 * importance * (now - start)
        velocity = 0.9 * velocity + slope
        now = now - 0.1 * velocity
        np.testing.assert_allclose(affine_of(method.network), now, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(method.mean, mean, rtol=1e-3, atol=1e-4)


def test_nothing_moves_where_no_prediction_is_reliable(network, generator):
    method = EATA(network, margin=1e-6)
    method.predict(draw_images(64, True, generator)[0], TARGET)
    assert np.array_equal(affine_of(method.network), affine_of(network)) and method.mean is None


def test_a_shift_of_colours_is_undone(network, generator):
    method, right = EATA(network, lr=0.05, margin=0.8, similar=0.9), []
    for _ in range(20):
        images, labels = draw_images(64, True, generator)
        right.append(accuracy(method.predict(images, TARGET).logits, labels))
    assert np.mean(right[-5:]) > 0.9
