"""Group normalisation with as many groups as keep the scale of gradients."""

import math
from itertools import pairwise

import pytest
import timm
import torch
from torch import nn

from dacbn.models import convert_norms
from dacbn.norms import GroupNorm, IsometricGroupNorm, LayerNorm
from dacbn.norms.isometric_group_norm import choose_groups
from dacbn.norms.network.gradient_gain import (
    gradient_gain,
    measure_gain,
    measure_shares,
    noise_like,
    open_branches,
)

IMAGES = noise_like(torch.empty(2, 3, 24, 24))


def deep_network(depth=10, width=64):
    """Return convolutions with BatchNorm and ReLU, one after the other."""
    torch.manual_seed(0)
    widths = [3, *[width] * depth]
    layers = []
    for before, after in pairwise(widths):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU(True)]
    return nn.Sequential(*layers)


def log_gain(model, kind):
    """Return the log of the gradient's growth from the last to the first norm of a kind."""
    layers = {name: layer for name, layer in model.named_modules() if isinstance(layer, kind)}
    with open_branches(model, layers):
        order = list(measure_shares(model, layers, IMAGES))
        return math.log(measure_gain(model, layers[order[0]], layers[order[-1]], IMAGES))


@pytest.mark.parametrize(
    ("width", "groups"),
    [(1, 1), (4, 1), (7, 1), (16, 1), (24, 1), (40, 2), (64, 4), (128, 8), (512, 32), (2048, 128)],
)
def test_alone_it_takes_groups_of_sixteen_or_the_next_more(width, groups):
    layer = IsometricGroupNorm(width)
    assert layer.num_groups == groups and f"num_groups={groups}" in repr(layer)
    x = torch.randn(3, width, 5)
    torch.testing.assert_close(layer(x), GroupNorm(width, groups)(x))


def test_one_group_is_layer_norm():
    layer, x = IsometricGroupNorm(64), torch.randn(3, 64, 5) * 3 + 1
    layer.set_groups(1)
    torch.testing.assert_close(layer(x), LayerNorm(64)(x))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.8, 0.95])
@pytest.mark.parametrize("excess", [0.02, 0.15, 0.6])
@pytest.mark.parametrize("width", [48, 64, 120])
def test_no_larger_number_of_groups_would_stay_below_the_bound(share, excess, width):
    chosen = choose_groups(width, share, excess)
    assert width % chosen == 0
    assert chosen == 1 or gradient_gain(width // chosen, share) <= 1 + excess
    for more in range(chosen + 1, width // 4 + 1):
        assert width % more or gradient_gain(width // more, share) > 1 + excess


def test_gradients_are_exact():
    layer = IsometricGroupNorm(8).double()
    layer.set_groups(2)
    x = torch.randn(2, 8, 3, dtype=torch.float64, requires_grad=True)
    parameters = tuple(layer.parameters())
    assert torch.autograd.gradcheck(lambda x, *_: layer(x), (x, *parameters), fast_mode=True)


@pytest.mark.parametrize("family", ["plain", "resnet18"])
def test_gradients_keep_their_scale_better_than_with_32_groups(family):
    def make():
        if family == "plain":
            return deep_network()
        torch.manual_seed(0)
        return timm.create_model("resnet18", num_classes=0)

    isometric, fixed = make(), make()
    report = convert_norms(isometric, "isometric_group_norm", example=IMAGES)
    convert_norms(fixed, "group_norm")
    found = log_gain(isometric, IsometricGroupNorm)
    assert abs(found) < 0.5 * abs(log_gain(fixed, GroupNorm))
    assert f"grow {math.exp(found):.2f}-fold from the last" in report.notes[0]


def test_a_conversion_says_what_it_chose():
    model = deep_network(depth=3)
    report = convert_norms(model, "isometric_group_norm(measured=False)")
    assert report.notes == ("64 channels in 4 groups: 1 and 2 more",)
    model = nn.Sequential(nn.Conv2d(3, 40, 3), nn.BatchNorm2d(40))
    measured = convert_norms(model, "isometric_group_norm").notes
    assert measured[0] == "gradients grow 1.00-fold from the last to the first layer"
    assert measured[1] == f"40 channels in {model[1].num_groups} groups: 1"


def test_images_given_are_the_ones_measured():
    chosen = []
    for images in (torch.ones(2, 3, 16, 16), torch.randn(2, 3, 16, 16)):
        model = nn.Sequential(nn.Conv2d(3, 64, 3), nn.BatchNorm2d(64))
        convert_norms(model, "isometric_group_norm", example=images)
        chosen.append(model[1].num_groups)
    assert chosen[0] < chosen[1]


def test_a_network_that_cannot_be_tried_keeps_the_layers_own_choices():
    model = nn.Sequential(nn.Linear(5, 64), nn.BatchNorm1d(64))
    notes = convert_norms(model, "isometric_group_norm").notes
    assert "cannot be run" in notes[0] and "`example`" in notes[0]
    assert model[1].num_groups == 4 and notes[1] == "64 channels in 4 groups: 1"


def test_nor_does_one_that_fails_on_the_way():
    class Parallel(nn.Module):
        """Two normalisers of which neither feeds the other."""

        def __init__(self):
            super().__init__()
            self.one, self.other = nn.BatchNorm2d(64), nn.BatchNorm2d(64)

        def forward(self, x):
            """Map images to a sum."""
            x = x.repeat(1, 22, 1, 1)[:, :64]
            return self.one(x) + self.other(x)

    model = Parallel()
    assert "cannot be run" in convert_norms(model, "isometric_group_norm").notes[0]
    assert model.one.num_groups == model.other.num_groups == 4


def test_groups_travel_with_the_weights():
    ours, loaded = IsometricGroupNorm(64), IsometricGroupNorm(64)
    ours.set_groups(16)
    loaded.load_state_dict(ours.state_dict())
    x = torch.randn(2, 64, 3)
    assert loaded.num_groups == 16 and torch.equal(loaded(x), ours(x))


def test_trying_leaves_weights_and_draws_as_they_were():
    model = deep_network(depth=3)
    nn.init.zeros_(model[4].weight)
    before = {name: value.clone() for name, value in model.named_parameters()}
    state = torch.get_rng_state()
    convert_norms(model, "isometric_group_norm", example=IMAGES)
    assert torch.equal(torch.get_rng_state(), state) and model.training
    for name, value in model.named_parameters():
        assert torch.equal(value, before[name]) and value.grad is None
