"""Batch nuclear-norm maximisation against numpy's nuclear norm."""

import numpy as np
import pytest
import torch
from flat_network import flat_batch, flat_network
from scipy.special import softmax

from dacbn.methods import BNM
from dacbn.methods.bnm import mean_nuclear_norm


@pytest.mark.parametrize("shape", [(1, 3), (8, 3), (3, 8), (5, 5)])
def test_it_is_the_nuclear_norm_per_image(shape):
    logits = 3 * torch.randn(shape)
    wanted = np.linalg.norm(softmax(logits.double().numpy(), 1), "nuc") / shape[0]
    assert mean_nuclear_norm(logits).item() == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize(("images", "classes"), [(12, 3), (3, 3), (2, 8)])
def test_the_largest_value_is_that_of_certain_and_varied_predictions(images, classes):
    most = (min(images, classes) / images) ** 0.5
    certain = 100 * torch.eye(classes).repeat(images, 1)[:images]
    assert mean_nuclear_norm(certain).item() == pytest.approx(most, rel=1e-5)
    assert mean_nuclear_norm(torch.randn(images, classes)) < most


def test_the_gradient_is_that_of_the_sum_of_singular_values():
    logits = torch.randn(6, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(mean_nuclear_norm, logits)


def test_a_network_that_diverged_gives_no_error_of_its_own():
    assert mean_nuclear_norm(torch.full((4, 3), torch.nan)).isfinite()


def test_the_loss_is_minus_the_weighted_norm_of_the_target():
    method, batch = BNM(flat_network(scale=4), weight=0.7), flat_batch(3, 8)
    loss = method(batch, 0.5).losses["nuclear_norm"].item()
    predictions = softmax(method.network(batch.target_images).logits.detach().double().numpy(), 1)
    assert loss == pytest.approx(-0.7 * np.linalg.norm(predictions, "nuc") / 8, rel=1e-5)
