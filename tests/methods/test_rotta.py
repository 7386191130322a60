"""RoTTA: a memory kept in loops, and a step by hand."""

import math

import numpy as np
import pytest
import torch
from colour_shift import ByHand, Normalised, accuracy, affine_of, draw_images
from torch import nn

from dacbn.methods import rotta
from dacbn.methods.rotta import RoTTA
from dacbn.models import Network, with_norm

TARGET = torch.ones(64, dtype=torch.int64)


class Slow:
    """The memory in loops: a list of images in each class."""

    def __init__(self, capacity, classes):
        self.capacity, self.data = capacity, [[] for _ in range(classes)]

    def score(self, age, uncertainty):
        """Return how little an image is worth."""
        return 1 / (1 + math.exp(-age / self.capacity)) + uncertainty / math.log(len(self.data))

    def drop(self, classes, newest):
        """Remove the least worth image of classes, if it is worth less than the newest."""
        items = [(self.score(a, u), n, c) for c in classes for n, a, u in self.data[c]]
        worst = max(items)
        if worst[0] > newest:
            self.data[worst[2]] = [each for each in self.data[worst[2]] if each[0] != worst[1]]
            return True
        return False

    def add(self, number, label, uncertainty):
        """Offer an image."""
        counts = [len(each) for each in self.data]
        newest = self.score(0, uncertainty)
        if counts[label] >= self.capacity / len(self.data):
            room = self.drop([label], newest)
        elif sum(counts) < self.capacity:
            room = True
        else:
            room = self.drop([c for c, n in enumerate(counts) if n == max(counts)], newest)
        if room:
            self.data[label].append((number, 0, uncertainty))
        self.data = [[(n, a + 1, u) for n, a, u in each] for each in self.data]


@pytest.mark.parametrize("capacity", [1, 2, 7, 12])
def test_the_memory_holds_what_the_paper_says(network, capacity):
    random = np.random.default_rng(capacity)
    method, slow = RoTTA(network, memory=capacity), Slow(capacity, 3)
    for number in range(120):
        label = int(random.choice(3, p=[0.7, 0.2, 0.1]))
        uncertainty = float(random.uniform(0, math.log(3)))
        method.remember(torch.full((3, 2, 2), float(number)), 1, label, uncertainty)
        slow.add(number, label, uncertainty)
        kept = {n: (c, a) for c, each in enumerate(slow.data) for n, a, _ in each}
        numbers = [int(image[0, 0, 0]) for image in method.images]
        found = zip(numbers, method.classes, method.ages, strict=True)
        assert {n: (c, a) for n, c, a in found} == kept and len(numbers) <= capacity


def test_a_step_follows_the_paper(network, generator, monkeypatch):
    monkeypatch.setattr(rotta, "random_views", lambda images, generator: images)
    method = RoTTA(network, lr=0.01, follow=0.2, memory=64, every=8)
    with torch.no_grad():
        method.teacher.backbone.norm.weight.mul_(0.5)
    taught, start = affine_of(method.teacher), affine_of(method.network)
    images, _ = draw_images(8, True, generator)
    by_hand, norm = ByHand(network, images), network.backbone.norm
    means = ((images - network.pixel_mean) / network.pixel_std).mean((2, 3)).double().numpy()
    mean, var = norm.running_mean.double().numpy(), norm.running_var.double().numpy()
    by_hand.standard = (means - mean) / np.sqrt(var + norm.eps)
    answered = by_hand.logits(taught)
    output = method.predict(images, TARGET[:8])
    np.testing.assert_allclose(output.logits, answered, rtol=1e-4, atol=1e-5)

    kept = method.images
    assert len(kept) == 8
    rows = [int((images == image).flatten(1).all(1).nonzero()) for image in kept]
    means = means[rows]
    w = 1 - 0.95 ** (8 / 64)  # 64 images weigh 0.05
    mean, var = (1 - w) * mean + w * means.mean(0), (1 - w) * var + w * means.var(0, ddof=1)
    by_hand.standard = (means - mean) / np.sqrt(var + norm.eps)
    q = torch.tensor(by_hand.logits(taught)).softmax(1).numpy()
    ages = np.array(method.ages)
    weights = np.exp(-ages / 64) / (1 + np.exp(-ages / 64))

    def loss(affine):
        log_p = torch.tensor(by_hand.logits(affine)).log_softmax(1).numpy()
        return (-(q * log_p).sum(1) * weights).mean()

    slope = np.array([(loss(start + s) - loss(start - s)) / 2e-6 for s in 1e-6 * np.eye(6)])
    wanted = start - 0.01 * slope / (abs(slope) + 1e-8)
    np.testing.assert_allclose(affine_of(method.network), wanted, rtol=1e-3, atol=1e-4)
    wanted = 0.8 * taught + 0.2 * affine_of(method.network)
    np.testing.assert_allclose(affine_of(method.teacher), wanted, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(method.teacher.backbone.norm.running_mean, mean, rtol=1e-4)


def test_a_norm_that_follows_the_stream_by_itself_is_refused(network):
    with pytest.raises(ValueError, match="rotta brings its own norm, robust_batch_norm"):
        RoTTA(with_norm(network, "robust_batch_norm"))


def test_other_normalisers_stay(generator):
    network = Network(Normalised(nn.GroupNorm(1, 3)), 3)
    method = RoTTA(network, every=4)
    assert method.predict(draw_images(9, True, generator)[0], TARGET[:9]).logits.isfinite().all()
    assert type(method.network.backbone.norm) is nn.GroupNorm


def test_a_shift_of_colours_is_undone(network, generator):
    method, right = RoTTA(network, lr=0.02, follow=0.05), []
    for _ in range(80):
        images, labels = draw_images(64, True, generator)
        right.append(accuracy(method.predict(images, TARGET).logits, labels))
    assert np.mean(right[-5:]) > max(0.85, np.mean(right[:3]))
