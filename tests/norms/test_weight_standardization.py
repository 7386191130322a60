"""Standardised weights."""

import numpy as np
import pytest
import torch
import weight_map_reference as reference
from timm.layers import StdConv2d
from torch import nn
from torch.nn.utils import parametrize

from dacbn.norms import WeightStandardization

SHAPES = [(5, 3), (5, 3, 4), (5, 3, 2, 2), (4, 1, 3, 3), (5, 2, 2, 1, 3)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("eps", [1e-6, 0.2])
def test_weights_follow_the_equation(shape, eps):
    weight = torch.randn(shape, dtype=torch.float64) * 0.3 + 1
    found = WeightStandardization(weight, eps=eps)(weight)
    np.testing.assert_allclose(found, reference.standardised(weight.numpy(), eps), rtol=1e-9)


@pytest.mark.parametrize("groups", [1, 4])
def test_it_is_timms_standardised_convolution(groups):
    theirs = StdConv2d(8, 12, 3, groups=groups, bias=True)
    ours = nn.Conv2d(8, 12, 3, padding=1, groups=groups)
    ours.load_state_dict(theirs.state_dict())
    parametrize.register_parametrization(ours, "weight", WeightStandardization(ours.weight))
    x = torch.randn(2, 8, 6, 6)
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-4, atol=1e-4)


def test_gradients_are_those_of_the_output():
    weight = torch.randn(3, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(WeightStandardization(weight), weight)


def test_the_gradient_has_no_part_along_the_mean_or_the_length_of_a_filter():
    weight = (torch.randn(4, 3, 3, 3) + 2).requires_grad_()
    out = WeightStandardization(weight)(weight)
    (out * torch.randn_like(out)).sum().backward()
    gradient = weight.grad.flatten(1)
    assert gradient.norm() > 1
    assert gradient.sum(1).abs().max() < 1e-4
    centred = weight.detach().flatten(1) - weight.detach().flatten(1).mean(1, keepdim=True)
    assert (gradient * centred).sum(1).abs().max() < 1e-3


def test_outputs_grow_with_the_fan_in_so_that_a_normaliser_has_to_follow():
    x = torch.randn(500, 256)
    linear = nn.Linear(256, 64, bias=False)
    parametrize.register_parametrization(linear, "weight", WeightStandardization(linear.weight))
    assert linear(x).std().item() == pytest.approx(16, rel=0.05)


def test_filters_without_spread_give_no_nan():
    weight = torch.full((2, 3, 2, 2), 0.7, requires_grad=True)
    out = WeightStandardization(weight)(weight)
    out.square().sum().backward()
    assert out.abs().max() < 1e-3 and weight.grad.isfinite().all()


def test_a_filter_with_one_weight_stays_as_it_is():
    weight = torch.randn(6, 1, 1, 1)
    assert torch.equal(WeightStandardization(weight)(weight), weight)
