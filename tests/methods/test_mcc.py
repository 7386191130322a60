"""Minimum class confusion against the confusion matrix, formed entry by entry."""

import class_confusion_reference as reference
import numpy as np
import pytest
import torch
from flat_network import flat_batch, flat_network
from scipy.optimize import approx_fprime
from scipy.special import softmax

from dacbn.methods import MCC
from dacbn.methods.mcc import class_confusion


@pytest.mark.parametrize("shape", [(1, 3), (7, 2), (5, 10), (12, 4)])
@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_it_is_the_papers_confusion(shape, temperature):
    logits = 4 * torch.randn(shape)
    wanted = reference.class_confusion(logits, temperature)
    assert class_confusion(logits, temperature).item() == pytest.approx(wanted, rel=1e-5)


def test_weights_of_certain_images_get_no_gradient():
    logits = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    class_confusion(logits, 2.5).backward()
    values = logits.detach().numpy()
    p = softmax(values / 2.5, 1)
    weights = 1 + np.exp((p * np.log(p)).sum(1))

    def loss(flat):
        return reference.class_confusion_of_fixed_weights(flat.reshape(4, 3), 2.5, weights)

    wanted = approx_fprime(values.ravel(), loss, 1e-7)
    np.testing.assert_allclose(logits.grad.numpy().ravel(), wanted, atol=1e-6)


def test_a_class_that_nobody_is_taken_for_is_no_division_by_zero():
    logits = torch.tensor([[500.0, 0.0, -500.0], [0.0, 500.0, -600.0]], requires_grad=True)
    loss = class_confusion(logits, 2.5)
    loss.backward()
    assert loss.item() == pytest.approx(1 / 3)  # the third class is wholly confused with the first
    assert logits.grad.isfinite().all()


def test_the_loss_is_that_of_the_target():
    method, batch = MCC(flat_network(scale=4), weight=0.7, temperature=1.5), flat_batch(3, 8)
    losses = method(batch, 0.5).losses
    logits = method.network(batch.target_images).logits.detach()
    wanted = 0.7 * reference.class_confusion(logits, 1.5)
    assert losses["confusion"].item() == pytest.approx(wanted, rel=1e-5)
    assert MCC(flat_network()).temperature == 2.5
