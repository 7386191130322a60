"""Group, layer, channel-layer and instance normalisation: each sample by itself."""

import numpy as np
import pytest
import sample_norm_reference as reference
import torch
from timm.layers.norm import LayerNorm2d
from torch import nn

from dacbn.models import convert_norms
from dacbn.norms import ChannelLayerNorm, GroupNorm, InstanceNorm, LayerNorm

REFERENCES = {
    "group": (
        lambda eps: GroupNorm(6, 3, eps=eps),
        lambda x, eps: reference.over_groups(x, 3, eps),
    ),
    "layer": (lambda eps: LayerNorm(6, eps), lambda x, eps: reference.over_groups(x, 1, eps)),
    "channel_layer": (lambda eps: ChannelLayerNorm(6, eps), reference.over_channels),
    "instance": (lambda eps: InstanceNorm(6, eps), lambda x, eps: reference.over_groups(x, 6, eps)),
}
SHAPES = [(3, 6, 5), (2, 6, 3, 4), (2, 6, 2, 3, 2)]


def images(*shape):
    return torch.randn(shape) * torch.rand(shape[:2]).reshape(*shape[:2], *[1] * len(shape[2:])) + 3


@pytest.mark.parametrize("kind", REFERENCES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("eps", [1e-5, 0.5])
def test_outputs_follow_the_equations(kind, shape, eps):
    make, wanted = REFERENCES[kind]
    layer, x = make(eps), images(*shape)
    flat = x.flatten(2).double().numpy()
    with torch.no_grad():
        layer.weight.uniform_(-2, 2), layer.bias.uniform_(-2, 2)
        found = layer(x).flatten(2).numpy()
    weight, bias = (
        value.detach().double().numpy()[:, None] for value in (layer.weight, layer.bias)
    )
    np.testing.assert_allclose(found, wanted(flat, eps) * weight + bias, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", REFERENCES)
def test_gradients_are_exact(kind):
    layer = REFERENCES[kind][0](1e-3).double()
    x = torch.randn(2, 6, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, *_: layer(x), (x, layer.weight, layer.bias))


@pytest.mark.parametrize("kind", REFERENCES)
def test_neither_the_batch_nor_the_mode_matters(kind):
    layer, x = REFERENCES[kind][0](1e-5), images(4, 6, 5)
    together = layer(x)
    torch.testing.assert_close(together[1:2], layer.eval()(x[1:2]))
    assert not list(layer.buffers())


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (GroupNorm(6, 3), nn.GroupNorm(3, 6)),
        (GroupNorm(6, 1), LayerNorm(6)),
        (LayerNorm(6), nn.GroupNorm(1, 6)),
        (GroupNorm(6, 6), InstanceNorm(6)),
        (InstanceNorm(6), nn.InstanceNorm2d(6)),
        (ChannelLayerNorm(6, 1e-6), LayerNorm2d(6)),
    ],
)
def test_it_is_the_known_layer(ours, theirs):
    x = images(3, 6, 4, 5)
    torch.testing.assert_close(ours(x), theirs(x))


def test_with_one_position_the_two_layer_norms_are_one():
    x = torch.randn(3, 6) + 2
    torch.testing.assert_close(LayerNorm(6)(x), ChannelLayerNorm(6)(x))
    x = torch.randn(3, 6, 4)
    assert (LayerNorm(6)(x) - ChannelLayerNorm(6)(x)).abs().max() > 0.1


def test_at_the_input_each_image_is_standardised():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    convert_norms(model, "layer_norm", "input")
    x = images(3, 3, 8, 8) * 5
    y = model.input_norm(x).flatten(1)
    torch.testing.assert_close(y.mean(1), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(y.std(1, correction=0), torch.ones(3))


@pytest.mark.parametrize("shape", [(3, 6), (1, 6), (3, 6, 1), (2, 6, 1, 1)])
@pytest.mark.parametrize("layer", [InstanceNorm(6), GroupNorm(6, 6)])
def test_a_single_value_stays_as_it_is(layer, shape):
    x = torch.randn(shape) * 3 + 1
    torch.testing.assert_close(layer(x), x)


def test_a_far_offset_does_not_cost_the_spread():
    x = torch.randn(2, 6, 50)
    for kind in (GroupNorm, LayerNorm, ChannelLayerNorm, InstanceNorm):
        torch.testing.assert_close(kind(6)(x + 1000), kind(6)(x), atol=2e-3, rtol=0)


@pytest.mark.parametrize(
    ("width", "wanted", "groups"),
    [
        (64, 32, 32),
        (6, 6, 6),
        (24, 32, 12),
        (40, 32, 20),
        (88, 32, 44),
        (120, 32, 30),
        (96, 5, 6),
        (7, 32, 1),
        (1, 32, 1),
        (4, 32, 2),
    ],
)
def test_groups_that_do_not_divide_become_the_nearest_that_do(width, wanted, groups):
    layer = GroupNorm(width, wanted)
    assert layer.num_groups == groups and f"num_groups={groups}" in repr(layer)
    assert layer(torch.randn(2, width, 3)).isfinite().all()


def test_a_conversion_says_which_groups_fit():
    model = nn.Sequential(nn.BatchNorm2d(64), nn.BatchNorm2d(24), nn.BatchNorm2d(40))
    report = convert_norms(model, "group_norm")
    assert report.notes == ("groups that fit: 24 channels in 12, 40 channels in 20",)
    model = nn.Sequential(nn.BatchNorm2d(64))
    assert convert_norms(model, "group_norm(num_groups=8)").notes == ()


@pytest.mark.parametrize("num_groups", [0, -3, 2.0, "all"])
def test_no_number_of_groups_raises(num_groups):
    with pytest.raises(
        ValueError, match=r"num_groups of group_norm must be (at least 1|a whole number), got"
    ):
        GroupNorm(8, num_groups)
