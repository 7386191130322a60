"""Orders of images in a stream."""

import numpy as np
import pytest
import torch

from dacbn.benchmarks.protocols import PROTOCOLS, arrange

LABELS = [torch.arange(200) % 10, torch.arange(100) % 5]


def runs(labels):
    return 1 + int((labels[1:] != labels[:-1]).sum())


@pytest.mark.parametrize("protocol", list(PROTOCOLS))
def test_each_image_comes_once_and_a_seed_gives_one_order(protocol):
    order = arrange(protocol, LABELS, seed=3)
    wanted = {(part, i) for part, labels in enumerate(LABELS) for i in range(len(labels))}
    assert order.shape == (300, 2) and {tuple(row) for row in order.tolist()} == wanted
    assert torch.equal(order, arrange(protocol, LABELS, seed=3))
    assert not torch.equal(order, arrange(protocol, LABELS, seed=4))


@pytest.mark.parametrize("protocol", [name for name in PROTOCOLS if name != "mixed"])
def test_parts_come_one_after_another(protocol):
    assert arrange(protocol, LABELS, seed=0)[:, 0].tolist() == [0] * 200 + [1] * 100


def test_mixed_parts_come_at_once():
    parts = arrange("mixed", LABELS, seed=0)[:, 0].double()
    assert abs(parts[:150].mean() - parts[150:].mean()) < 0.2


def test_shuffled_labels_have_no_runs_and_correlated_ones_have():
    shuffled = LABELS[0][arrange("iid", LABELS, seed=0)[:200, 1]]
    correlated = LABELS[0][arrange("correlated", LABELS, seed=0)[:200, 1]]
    assert runs(shuffled) > 150 and runs(correlated) < 60


@pytest.mark.parametrize(("concentration", "low", "high"), [(1e-3, 10, 14), (1000.0, 90, 100)])
def test_concentration_says_how_long_runs_are(concentration, low, high):
    """Shares that are all in one slot give a run per class; equal ones a run per class and slot."""
    counts = []
    for seed in range(5):
        order = arrange("correlated", [torch.arange(1000) % 10], seed, concentration)
        counts.append(runs(order[:, 1] % 10))
    assert low <= np.mean(counts) <= high
