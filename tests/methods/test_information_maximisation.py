"""Information maximisation against the definition of mutual information on the joint table."""

import math

import numpy as np
import pytest
import torch
from flat_network import flat_batch, flat_network
from scipy.special import rel_entr, softmax

from dacbn.methods import InformationMaximisation
from dacbn.methods.information_maximisation import mutual_information


def wanted(logits):
    """Sum p(image, class) log(p(image, class) / p(image) p(class)) over the joint table."""
    joint = softmax(logits.double().numpy(), 1) / len(logits)
    independent = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    return np.sum(rel_entr(joint, independent))


@pytest.mark.parametrize("count", [1, 2, 9])
def test_it_is_the_mutual_information_of_image_and_class(count):
    logits = 3 * torch.randn(count, 4)
    found = mutual_information(logits).item()
    assert found == pytest.approx(wanted(logits), rel=1e-5, abs=1e-6)


def test_the_bounds_are_reached():
    certain = 1e3 * torch.eye(4).repeat(3, 1)
    assert mutual_information(certain).item() == pytest.approx(math.log(4), rel=1e-6)
    assert mutual_information(certain[:1].repeat(5, 1)).item() == pytest.approx(0, abs=1e-6)


def test_a_class_that_nobody_is_taken_for_keeps_its_gradient_finite():
    logits = torch.tensor([[0.0, 0.1, -1e3], [0.2, 0.0, -1e3]], requires_grad=True)
    mutual_information(logits).backward()
    assert logits.grad.isfinite().all()


def test_the_loss_is_minus_the_weighted_information():
    method, batch = InformationMaximisation(flat_network(scale=4), weight=0.3), flat_batch()
    step = method(batch, 0.5)
    information = wanted(method.network(batch.target_images).logits.detach())
    assert step.losses["information"].item() == pytest.approx(-0.3 * information, rel=1e-4)
    assert step.metrics["mutual_information"].item() == pytest.approx(information, rel=1e-4)


def test_without_entropy_it_is_the_diversity_of_the_predictions():
    method, batch = InformationMaximisation(flat_network(scale=4), 0.3, entropy=0), flat_batch()
    loss = method(batch, 0.5).losses["information"].item()
    mean = softmax(method.network(batch.target_images).logits.detach().double().numpy(), 1).mean(0)
    assert loss == pytest.approx(0.3 * np.sum(mean * np.log(mean)), rel=1e-4)
