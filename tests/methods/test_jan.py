"""JAN: features and predictions jointly."""

import math

import discrepancy_reference as reference
import pytest
import torch
from drawn_outputs import draw_network, draw_outputs

from dacbn.methods.dan import mmd_loss
from dacbn.methods.jan import JAN, joint_mmd_loss


@pytest.mark.parametrize(("source", "target"), [(5, 5), (3, 9), (2, 2)])
@pytest.mark.parametrize("progress", [0.02, 1.0])
def test_the_loss_follows_the_equation_and_the_schedule(source, target, progress):
    source, target, labels = draw_outputs(source, target)
    loss = JAN(draw_network(), weight=2.0).transfer(source, target, labels, progress).losses
    joint = reference.features_with_predictions(source, target)
    wanted = 2 * math.tanh(5 * progress) * joint
    assert loss["joint_mmd"].item() == pytest.approx(wanted, rel=1e-4, abs=1e-7)


def test_it_sees_which_features_come_with_which_prediction():
    """Both layers are distributed alike in both domains, but paired the other way round."""
    side = torch.tensor([1.0, -1.0]).repeat(50)[:, None]
    features, logits = 2 * side + 0.1 * torch.randn(100, 1), torch.cat([3 * side, -3 * side], 1)
    joint = joint_mmd_loss(features, logits, features, logits.flip(0))
    assert joint > 0.1
    assert mmd_loss(features, features) + mmd_loss(logits, logits.flip(0)) < 0.05
