"""DAN, and the mean discrepancies that JAN shares with it."""

import discrepancy_reference as reference
import pytest
import torch
from drawn_outputs import draw_network, draw_outputs, gradients

from dacbn.methods.dan import DAN, mmd_loss
from dacbn.methods.mean_discrepancy import gaussian_kernels, squared_mmd


@pytest.mark.parametrize(("source", "target"), [(5, 5), (3, 9), (2, 2), (12, 4)])
def test_the_loss_is_that_of_all_pairs(source, target):
    source, target = torch.randn(source, 4), 2 * torch.randn(target, 4) + 0.5
    wanted = reference.mmd(source, target)
    assert mmd_loss(source, target).item() == pytest.approx(wanted, rel=1e-4, abs=1e-6)


def test_it_is_the_weighted_sum_of_both_layers():
    source, target, labels = draw_outputs(6, 4)
    loss = DAN(draw_network(), weight=2.0).transfer(source, target, labels, 0.0).losses["mmd"]
    layers = zip(source, target, strict=True)
    wanted = 2 * sum(reference.mmd(*layer) for layer in layers)
    assert loss.item() == pytest.approx(wanted, rel=1e-4)


def test_equal_distributions_have_no_discrepancy_in_the_mean():
    draws = [mmd_loss(torch.randn(6, 3), torch.randn(18, 3)).item() for _ in range(400)]
    mean, deviation = torch.tensor(draws).mean(), torch.tensor(draws).std()
    assert abs(mean) < 3 * deviation / 400**0.5  # the biased estimate is 0.09
    assert min(draws) < 0


def test_neither_a_distant_origin_nor_the_scale_matters():
    source, target = torch.randn(6, 3), torch.randn(8, 3) + 0.5
    here = mmd_loss(source, target)
    torch.testing.assert_close(mmd_loss(source + 1000, target + 1000), here, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(mmd_loss(50 * source, 50 * target), here, rtol=1e-4, atol=1e-6)


def test_the_width_gets_no_gradient():
    """With one, the loss would not change along the features themselves, as it has no scale."""
    source = torch.randn(5, 3).requires_grad_()
    (gradient,) = gradients(mmd_loss(source, torch.zeros(4, 3)), [source])
    assert (gradient * source).sum().abs() > 0.05


def test_descent_brings_the_domains_together():
    source, target = torch.randn(20, 2), (torch.randn(30, 2) + 2).requires_grad_()
    optimizer = torch.optim.SGD([target], lr=20.0)
    before = mmd_loss(source, target).item()
    apart = (target.mean(0) - source.mean(0)).norm()
    for _ in range(50):
        optimizer.zero_grad()
        mmd_loss(source, target).backward()
        optimizer.step()
    assert mmd_loss(source, target).item() < 0.1 * before
    assert (target.mean(0) - source.mean(0)).norm() < 0.5 * apart


def test_a_single_row_stands_for_copies_of_itself():
    source, target = torch.randn(1, 3), torch.randn(4, 3)
    kernel = gaussian_kernels(torch.cat([source, target]))
    within = (kernel[1:, 1:].sum() - 4) / 12
    wanted = 1 + within - 2 * kernel[0, 1:].mean()
    torch.testing.assert_close(squared_mmd(kernel, 1), wanted)
