"""CMD: moments of bounded features."""

import discrepancy_reference as reference
import pytest
import torch
from drawn_outputs import draw_network, draw_outputs

from dacbn.methods.cmd import CMD, moment_discrepancy


@pytest.mark.parametrize(("source", "target"), [(5, 5), (3, 9), (1, 4), (40, 12)])
@pytest.mark.parametrize("order", [1, 2, 5])
def test_the_loss_follows_the_equation(source, target, order):
    source, target = torch.randn(source, 4), 0.5 * torch.randn(target, 4) + 1
    wanted = reference.central_moments(source, target, order)
    assert moment_discrepancy(source, target, order).item() == pytest.approx(wanted, rel=1e-5)


def test_it_is_taken_of_the_features_and_weighted():
    source, target, labels = draw_outputs()
    step = CMD(draw_network(), weight=0.5, moments=3).transfer(source, target, labels, 0.0)
    wanted = 0.5 * reference.central_moments(source.features, target.features, 3)
    assert step.losses["moment_discrepancy"].item() == pytest.approx(wanted, rel=1e-5)


def test_equal_samples_have_none_of_it_and_a_finite_gradient():
    source = torch.randn(6, 3).requires_grad_()
    loss = moment_discrepancy(source, source.detach().flip(0), 5)
    loss.backward()
    assert loss < 1e-6 and source.grad.isfinite().all()
