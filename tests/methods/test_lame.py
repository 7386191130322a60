"""LAME: its rounds lower its objective to a point where no small change lowers it further."""

import math

import numpy as np
import pytest
import torch
from colour_shift import accuracy, draw_images, trained_network

from dacbn.methods.lame import LAME, agree, nearest


def objective_by_hand(y, p, w):
    """Compute the objective in loops."""
    divergence = sum(
        y[i][c] * math.log(y[i][c] / p[i][c]) for i in range(len(y)) for c in range(len(y[0]))
    )
    together = sum(
        w[i][j] * sum(a * b for a, b in zip(y[i], y[j], strict=True))
        for i in range(len(y))
        for j in range(len(y))
    )
    return divergence - together / 2


@pytest.mark.parametrize("weight", [0.5, 1.0, 3.0])
def test_the_rounds_end_where_no_change_lowers_the_objective(generator, weight):
    p = torch.randn(7, 4, generator=generator, dtype=torch.double).softmax(1)
    affinity = weight * nearest(torch.randn(7, 5, generator=generator), 2).double()
    found = agree(p.log(), affinity).exp().numpy()
    reached = objective_by_hand(found, p.numpy(), affinity.numpy())
    assert reached < objective_by_hand(p.numpy(), p.numpy(), affinity.numpy())
    random = np.random.default_rng(0)
    for _ in range(200):
        other = found * np.exp(1e-3 * random.standard_normal(found.shape))
        other /= other.sum(1, keepdims=True)
        assert objective_by_hand(other, p.numpy(), affinity.numpy()) > reached - 1e-7


def test_affinities_are_counted_by_hand(generator):
    features = torch.randn(6, 3, generator=generator)
    rows = features.numpy() / np.linalg.norm(features.numpy(), axis=1, keepdims=True)
    near = [
        set(sorted((j for j in range(6) if j != i), key=lambda j, i=i: -rows[i] @ rows[j])[:2])
        for i in range(6)
    ]
    wanted = [[((j in near[i]) + (i in near[j])) / 2 for j in range(6)] for i in range(6)]
    np.testing.assert_array_equal(nearest(features, 2), wanted)


def test_without_weight_or_company_the_answers_are_those_of_the_network(generator):
    network = trained_network(generator)
    images, _ = draw_images(9, True, generator)
    ids = torch.ones(9, dtype=torch.int64)
    wanted = network(images).logits.log_softmax(1)
    for method, count in ((LAME(network, weight=0.0), 9), (LAME(network), 1)):
        found = method.predict(images[:count], ids[:count]).logits
        torch.testing.assert_close(found, wanted[:count])


def test_images_of_one_class_help_each_other(generator):
    network = trained_network(generator, steps=20)
    method, right, plain = LAME(network), [], []
    for kind in range(3):
        images, labels = draw_images(90, True, generator)
        images, labels = images[labels == kind], labels[labels == kind]
        ids = torch.ones(len(images), dtype=torch.int64)
        right.append(accuracy(method.predict(images, ids).logits, labels))
        plain.append(accuracy(network(images).logits, labels))
    assert np.mean(right) >= np.mean(plain)
