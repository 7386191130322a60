"""CoTTA: the teacher's average, one step by hand, and what is restored."""

import copy

import numpy as np
import torch
from colour_shift import ByHand, affine_of, trained_network

from dacbn.methods import cotta
from dacbn.methods.cotta import CoTTA

TARGET = torch.ones(64, dtype=torch.int64)


def test_one_step_follows_the_paper(network, images):
    method = CoTTA(network, lr=0.01, sure=0.0, follow=0.3, restore=0.0)
    with torch.no_grad():
        method.teacher.backbone.norm.weight.mul_(0.5)
    by_hand, start, taught = ByHand(network, images), affine_of(network), affine_of(method.teacher)
    answered = by_hand.logits(taught)
    output = method.predict(images, TARGET)
    np.testing.assert_allclose(output.logits, answered, rtol=1e-4, atol=1e-5)
    q = torch.tensor(answered).softmax(1)

    def loss(affine):
        return -(q * torch.tensor(by_hand.logits(affine)).log_softmax(1)).sum(1).mean().item()

    slope = np.array([(loss(start + s) - loss(start - s)) / 2e-6 for s in 1e-6 * np.eye(6)])
    moved = start - 0.01 * slope / (abs(slope) + 1e-8)
    np.testing.assert_allclose(affine_of(method.network), moved, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(affine_of(method.teacher), 0.7 * taught + 0.3 * moved, rtol=1e-3)
    assert not torch.equal(method.network.classifier.weight, network.classifier.weight)


def test_the_teacher_averages_views_where_the_source_is_unsure(network, images, monkeypatch):
    shown = []

    def brighter(images, generator):
        shown.append(images * (1 + len(shown) / 8))
        return shown[-1]

    monkeypatch.setattr(cotta, "random_views", brighter)
    sure = network(images).logits.softmax(1).amax(1).mean().item()
    assert sure < 1
    found = CoTTA(network, sure=1.0, views=3).predict(images, TARGET).logits
    logits = [ByHand(network, each).logits(affine_of(network)) for each in shown]
    assert len(shown) == 3
    np.testing.assert_allclose(found, np.mean(logits, 0), rtol=1e-4, atol=1e-4)


def test_numbers_are_restored_at_random(network, images):
    for share in (0.0, 0.3, 1.0):
        method = CoTTA(network, lr=0.1, restore=share)
        with torch.no_grad():
            for parameter in method.network.parameters():
                parameter.add_(1)
        before = copy.deepcopy(method.network)
        method.pass_on()
        numbers = [
            torch.cat([p.flatten() for p in each.parameters()])
            for each in (method.network, network, before)
        ]
        restored = numbers[0] == numbers[1]
        assert torch.equal(numbers[0][~restored], numbers[2][~restored])
        assert abs(restored.double().mean().item() - share) < 0.25
        assert share not in (0.0, 1.0) or restored.double().mean() == share


def test_a_network_without_affine_parameters_adapts_too(generator, images):
    torch.manual_seed(0)
    norm = torch.nn.BatchNorm1d(3, affine=False)
    network = trained_network(generator, norm)
    assert CoTTA(network, views=2).predict(images, TARGET).logits.isfinite().all()
