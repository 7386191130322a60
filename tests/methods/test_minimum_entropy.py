"""Entropy minimisation against scipy's entropy."""

import numpy as np
import pytest
import torch
from flat_network import flat_batch, flat_network
from scipy.special import softmax
from scipy.stats import entropy

from dacbn.methods import MinimumEntropy


@pytest.mark.parametrize(("source", "target"), [(5, 7), (7, 5), (3, 1)])
def test_the_loss_is_the_mean_entropy_in_nats(source, target):
    method, batch = MinimumEntropy(flat_network(scale=4), weight=0.3), flat_batch(source, target)
    step = method(batch, 1.0)
    logits = method.network(batch.target_images).logits.detach().double().numpy()
    wanted = np.mean(entropy(softmax(logits, 1), axis=1))
    assert step.losses["entropy"].item() == pytest.approx(0.3 * np.tanh(5) * wanted, rel=1e-5)
    assert step.metrics["target_entropy"].item() == pytest.approx(wanted, rel=1e-5)
    assert step.losses.keys() == {"classification", "entropy"}
    rises = [method(batch, progress).losses["entropy"].item() for progress in (0.0, 0.1)]
    assert rises == pytest.approx([0, 0.3 * np.tanh(0.5) * wanted], rel=1e-5)


def test_a_step_against_the_gradient_makes_the_target_more_certain():
    method, batch = MinimumEntropy(flat_network(), weight=1.0), flat_batch()
    before = method(batch, 0.5).losses["entropy"]
    found = torch.autograd.grad(before, list(method.parameters()))
    with torch.no_grad():
        for parameter, gradient in zip(method.parameters(), found, strict=True):
            parameter -= 0.1 * gradient
    assert method(batch, 0.5).losses["entropy"] < before
