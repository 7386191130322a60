"""BSP: the largest singular values."""

import discrepancy_reference as reference
import pytest
import torch
from drawn_outputs import draw_network, draw_outputs

from dacbn.methods.bsp import BSP, spectral_penalty


@pytest.mark.parametrize("shape", [(5, 4), (3, 9), (1, 4), (12, 12)])
@pytest.mark.parametrize("count", [1, 2, 20])
def test_the_penalty_follows_the_equation(shape, count):
    features = torch.randn(shape) + 0.3
    wanted = reference.spectral(features, count)
    assert spectral_penalty(features, count).item() == pytest.approx(wanted, rel=1e-4)


def test_both_domains_weigh_the_same():
    source, target, labels = draw_outputs(4, 9)
    step = BSP(draw_network(), weight=0.5).transfer(source, target, labels, 0.0)
    wanted = sum(reference.spectral(output.features, 1) for output in (source, target)) / 2
    assert step.losses["spectral"].item() == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize("count", [0, -1, 1.5])
def test_a_number_of_values_that_cannot_be_meant_is_refused(count):
    with pytest.raises(ValueError, match=r"count of bsp must be (at least 1|a whole number), got"):
        BSP(draw_network(), count=count)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_equal_singular_values_have_a_finite_gradient(count):
    features = (3 * torch.eye(5)).requires_grad_()
    spectral_penalty(features, count).backward()
    assert features.grad.isfinite().all()
    assert features.grad.norm().item() == pytest.approx(2 * 3 * count**0.5 / 5, rel=1e-4)


def test_the_gradient_is_that_of_the_top_direction():
    features = torch.randn(6, 4, requires_grad=True)
    spectral_penalty(features, 1).backward()
    left, values, right = torch.linalg.svd(features.detach())
    wanted = 2 * values[0] * left[:, :1] @ right[:1] / 6
    torch.testing.assert_close(features.grad, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, 1e30])
def test_diverged_features_do_not_stop_the_decomposition(value):
    features = torch.tensor([[value, 1.0], [3.0, 2.0]])
    assert spectral_penalty(features, 1).isfinite()
