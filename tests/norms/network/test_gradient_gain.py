"""The gain of gradients through group normalisation: formula, simulation and networks."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from dacbn.norms import GroupNorm
from dacbn.norms.network.gradient_gain import (
    constant_share,
    gradient_gain,
    measure_gain,
    measure_shares,
    noise_like,
    open_branches,
)


def test_the_gain_is_known_at_the_ends():
    assert gradient_gain(1, 0.6) == pytest.approx(1 / 0.4, rel=1e-4)
    assert gradient_gain(7, 0.0) == pytest.approx(1, rel=1e-4)
    assert gradient_gain(20, 0.99) == pytest.approx(20 / 17, rel=0.01)
    assert gradient_gain(4096, 0.8) == pytest.approx(1, abs=2e-3)


@pytest.mark.parametrize("channels", [1, 2, 4, 16, 64])
@pytest.mark.parametrize("share", [1 / math.pi, 0.8])
def test_the_gain_is_the_expectation_that_it_stands_for(channels, share):
    chi2 = torch.randn(40_000, channels, dtype=torch.float64).square()[:, 1:].sum(1)
    simulated = (1 / (1 - share + share * chi2 / channels)).mean().item()
    assert gradient_gain(channels, share) == pytest.approx(simulated, rel=0.02)


def test_more_groups_and_more_that_is_constant_mean_more_gain():
    gains = [gradient_gain(channels, 0.7) for channels in (1, 2, 4, 8, 32, 128)]
    assert gains == sorted(gains, reverse=True)
    gains = [gradient_gain(8, share) for share in (0.0, 0.2, 0.5, 0.9)]
    assert gains == sorted(gains)


@pytest.mark.parametrize("groups", [1, 8, 64])
@pytest.mark.parametrize("offset", [0.0, 1.0])
def test_a_block_of_a_network_has_the_gain_of_the_formula(groups, offset):
    """ReLU, a random convolution and the norm; an offset per channel sets the share."""
    found, expected = [], []
    for _ in range(6):
        z = torch.randn(4, 64, 10, 10) + offset * torch.randn(4, 64, 1, 1)
        z.requires_grad_()
        weight = torch.randn(64, 64, 3, 3)
        y = F.conv2d(F.pad(F.relu(z), (1, 1, 1, 1), mode="circular"), weight)
        sent = torch.randn(y.shape)
        (got,) = torch.autograd.grad(GroupNorm(64, groups)(y), z, sent)
        activation = (z > 0).float().mean() / F.relu(z).square().mean()
        found.append((got.square().sum() / sent.square().sum() / activation).item())
        expected.append(gradient_gain(64 // groups, constant_share(y)))
    assert sum(found) == pytest.approx(sum(expected), rel=0.1)


def test_the_constant_share_is_that_of_the_means():
    x = torch.tensor([[[1.0, 1.0], [0.0, 2.0]], [[-3.0, -3.0], [1.0, -1.0]]])
    assert constant_share(x) == pytest.approx((1 + 1 + 1 + 1 + 9 + 9) / (2 + 4 + 18 + 2))
    assert constant_share(torch.randn(4, 8, 10_000)) == pytest.approx(0, abs=1e-3)
    assert constant_share(torch.randn(4, 8)) == 0.99
    assert constant_share(torch.zeros(4, 8, 3)) == 0


def test_shares_come_in_the_order_of_use():
    late, early = GroupNorm(4, 2), GroupNorm(3, 1)
    model = nn.Sequential(early, nn.Conv2d(3, 4, 3), late)
    shares = measure_shares(model, {"2": late, "0": early}, torch.ones(2, 3, 8, 8))
    assert list(shares) == ["0", "2"] and shares["0"] == 0.99
    assert not early._forward_pre_hooks and not late._forward_pre_hooks


def test_the_measured_gain_is_that_of_the_layers_between():
    model = nn.Sequential(GroupNorm(4, 1), nn.ReLU(inplace=True), nn.Conv2d(4, 4, 1), GroupNorm(4))
    nn.init.zeros_(model[2].bias)
    x = noise_like(torch.empty(2, 4, 6, 6))
    first = model[0](x).detach().requires_grad_()
    y = model[3](model[2](first.relu()))
    sent = noise_like(y)
    (wanted,) = torch.autograd.grad(y, first, sent)
    assert measure_gain(model, model[0], model[3], x) == pytest.approx(
        (wanted.norm() / sent.norm()).item(), rel=1e-5
    )
    assert all(value.grad is None for value in model.parameters())
    assert measure_gain(model, model[0], model[0], x) == pytest.approx(1)


def test_trying_leaves_the_network_as_it_was():
    layers = {"0": GroupNorm(4, 2), "1": GroupNorm(4, 2, affine=False), "2": GroupNorm(4, 2)}
    model = nn.Sequential(*layers.values(), nn.Dropout())
    nn.init.zeros_(layers["0"].weight)
    model[3].eval()
    state = torch.get_rng_state()
    with open_branches(model, layers):
        assert not any(module.training for module in model.modules())
        assert layers["0"].weight.eq(1).all()
        noise_like(torch.empty(3))
    assert layers["0"].weight.eq(0).all() and layers["2"].weight.eq(1).all()
    assert model.training and layers["0"].training and not model[3].training
    assert torch.equal(torch.get_rng_state(), state)
