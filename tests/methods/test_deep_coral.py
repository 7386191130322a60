"""Deep CORAL: covariances of the logits."""

import discrepancy_reference as reference
import pytest
import torch
from drawn_outputs import draw_network, draw_outputs

from dacbn.methods.deep_coral import DeepCORAL, coral_loss, covariance


@pytest.mark.parametrize(("source", "target"), [(5, 5), (3, 9), (2, 2), (40, 12)])
def test_the_loss_follows_the_equation(source, target):
    source, target = torch.randn(source, 4), 2 * torch.randn(target, 4) + 1
    wanted = reference.coral(source, target)
    assert coral_loss(source, target).item() == pytest.approx(wanted, rel=1e-5)


def test_it_is_taken_of_the_logits_and_weighted():
    source, target, labels = draw_outputs()
    step = DeepCORAL(draw_network(), weight=3.0).transfer(source, target, labels, 0.0)
    wanted = 3 * reference.coral(source.logits, target.logits)
    assert step.losses["coral"].item() == pytest.approx(wanted, rel=1e-5)


def test_means_do_not_matter():
    source, target = torch.randn(6, 3), torch.randn(8, 3)
    torch.testing.assert_close(coral_loss(source, target + 5), coral_loss(source, target))
    assert coral_loss(source, source - 2).item() == pytest.approx(0, abs=1e-10)


def test_a_single_row_varies_by_nothing():
    assert torch.equal(covariance(torch.randn(1, 3)), torch.zeros(3, 3))
