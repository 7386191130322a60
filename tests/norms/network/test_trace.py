"""Which layers feed which normaliser."""

import pytest
import timm
import torch
from timm.layers import BatchNormAct2d
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from dacbn.models import convert_norms, create_backbone
from dacbn.norms.network.trace import feeding_layers, trace


def norms_of(model):
    """Return the names of all BatchNorms."""
    return [name for name, layer in model.named_modules() if isinstance(layer, _BatchNorm)]


def convolutions_of(model):
    """Return the names of all convolutions."""
    return [name for name, layer in model.named_modules() if isinstance(layer, nn.Conv2d)]


def chain(*between):
    """Return a convolution and a BatchNorm with other layers between and a head."""
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), *between, nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2)
    )


def test_the_digits_network_can_be_traced():
    assert trace(create_backbone("digits_cnn")) is not None


@pytest.mark.parametrize(
    "between",
    [
        (),
        (nn.MaxPool2d(2),),
        (nn.ReLU(), nn.AvgPool2d(2), nn.Dropout(0.1)),
        (nn.Sequential(nn.Identity(), nn.SiLU()),),
    ],
)
def test_layers_without_weights_are_looked_through(between):
    assert feeding_layers(chain(*between), [str(len(between) + 1)]) == ["0"]


def test_a_layer_with_weights_that_is_no_convolution_ends_the_search():
    assert feeding_layers(chain(nn.PReLU()), ["2"]) == []
    two = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.BatchNorm1d(4))
    assert feeding_layers(two, ["3"]) == []
    assert feeding_layers(two, ["1", "3"]) == ["0"]


class Residual(nn.Module):
    """Two branches and a shortcut meet before a normaliser; a convolution comes after it."""

    def __init__(self):
        super().__init__()
        self.left = nn.Conv2d(4, 4, 1)
        self.right = nn.Conv2d(4, 4, 1)
        self.norm = nn.BatchNorm2d(4)
        self.after = nn.Conv2d(4, 4, 1)

    def forward(self, x):
        """Add the branches to the input, normalise, and convolve."""
        return self.after(torch.relu(self.norm(x + self.left(x) + self.right(x))))


def test_all_branches_of_a_sum_are_followed():
    assert set(feeding_layers(Residual(), ["norm"])) == {"left", "right"}


class ByValue(nn.Module):
    """A network that branches on values, and calls its layers in another order than registered."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.second = nn.Linear(4, 4)
        self.norm = nn.BatchNorm1d(4)
        self.again = nn.BatchNorm1d(4)
        self.third = nn.Linear(4, 4)

    def forward(self, x):
        """Call one of two layers, by the sign of the sum."""
        x = self.first(x) if x.sum() > 0 else self.second(x)
        return self.third(self.again(self.norm(x)))


def test_without_a_graph_it_is_the_layer_registered_right_before():
    model = ByValue()
    assert trace(model) is None
    assert feeding_layers(model, ["norm", "again"]) == ["second"]
    assert feeding_layers(model, ["third"]) == []


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_every_convolution_of_a_resnet_feeds_a_normaliser(name):
    model = timm.create_model(name)
    found = feeding_layers(model, norms_of(model))
    assert trace(model) is not None
    assert set(found) == set(convolutions_of(model)) and len(found) == len(set(found))


def test_one_site_has_the_convolutions_before_it_and_no_other():
    model = timm.create_model("resnet18")
    assert feeding_layers(model, ["bn1"]) == ["conv1"]
    assert feeding_layers(model, ["layer2.0.downsample.1"]) == ["layer2.0.downsample.0"]


def test_all_layers_that_a_dense_block_has_joined_so_far_feed_its_next_normaliser():
    model = timm.create_model("densenet121", growth_rate=8, block_config=(3, 2))
    found = feeding_layers(model, norms_of(model))
    assert set(found) == set(convolutions_of(model))
    block = "features.denseblock1.denselayer"
    assert set(feeding_layers(model, [f"{block}3.norm1"])) == {f"{block}1.conv2", f"{block}2.conv2"}
    assert feeding_layers(model, [f"{block}1.norm1"]) == []  # a normaliser stands between


def test_gates_do_not_count_where_a_convolution_stands_between():
    model = timm.create_model("mobilenetv3_small_050")
    found = feeding_layers(model, norms_of(model))
    gates = [name for name in convolutions_of(model) if ".se." in name]
    assert len(gates) > 4 and not set(gates) & set(found)
    assert set(convolutions_of(model)) - set(gates) - set(found) == {"conv_head"}


def test_the_head_and_plain_layers_are_left_alone():
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Conv2d(4, 4, 1), BatchNormAct2d(4))
    assert feeding_layers(model, ["3"]) == ["2"]


def test_converted_layers_are_found_under_the_names_they_have_then():
    model = nn.Sequential(nn.Conv2d(3, 4, 1), BatchNormAct2d(4), nn.Conv2d(4, 4, 1))
    report = convert_norms(model, "batch_norm + weight_standardization")
    assert report.replaced == ("1",) and report.mapped == ("0",)
