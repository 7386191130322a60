"""Every registered normaliser in small versions of many of timm's architectures."""

import copy
from functools import cache

import pytest
import timm
import torch
from timm.models.vgg import VGG
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from dacbn.models import convert_norms
from dacbn.norms import Norm, norms, share_context

WITH_BATCH_NORM = {
    "resnet18": {"layers": (1, 1, 1, 1), "channels": (8, 16, 24, 40)},
    "resnet50": {"layers": (1, 1, 1, 1), "channels": (8, 8, 16, 16)},
    "resnetv2_18": {"layers": (1, 1), "channels": (16, 24), "stem_chs": 8},
    "test_efficientnet": {},
    "mobilenetv3_small_050": {},
    "densenet121": {"growth_rate": 8, "block_config": (2, 2)},
    "lcnet_035": {},
    "regnety_002": {},
    "vgg": {},
    "test_byobnet": {},
    "dla46_c": {},
    "mobilenetv4_conv_small_035": {},
}
WITH_LAYER_NORM = {"test_convnext": {}, "test_vit": {"img_size": 64}}
ALL = [*WITH_BATCH_NORM, *WITH_LAYER_NORM]
IDS = torch.tensor([0, 1, 1, 0])
# They change activations too, by design.
WHOLE_NETWORK = {"self_normalizing"}
# By default, these norms are tried in all families, and the others in these families.
NORMS = ("batch_norm", "ucb_norm", "domain_specific_batch_norm", "group_norm")
FAMILIES = ("resnet18", "vgg", "test_byobnet", "test_convnext", "test_vit")


def pairs(families):
    """Return each norm with each family; those that are not tried by default are slow."""
    return [
        pytest.param(
            *(name, family),
            marks=[] if name in NORMS or family in FAMILIES else [pytest.mark.slow],
        )
        for name in norms
        for family in families
    ]


@cache
def original(family):
    if family == "vgg":
        return VGG([8, "M", 16, "M", 24], norm_layer=nn.BatchNorm2d).features
    options = WITH_BATCH_NORM | WITH_LAYER_NORM
    return timm.create_model(family, num_classes=0, **options[family])


@cache
def output_shape(family):
    return copy.deepcopy(original(family))(torch.rand(4, 3, 64, 64)).shape


def convert(model, name):
    has_batch_norm = any(isinstance(layer, _BatchNorm) for layer in model.modules())
    kind = "batch_norm" if has_batch_norm else "layer_norm"
    return convert_norms(model, name, replaces=kind), kind


def activations(model):
    inside = {
        id(part) for layer in model.modules() if isinstance(layer, Norm) for part in layer.modules()
    }
    kinds = ("ReLU", "SiLU", "GELU", "Hardswish", "HardSwish", "Sigmoid", "Dropout", "DropPath")
    names = [type(layer).__name__ for layer in model.modules() if id(layer) not in inside]
    return sorted(name for name in names if name.startswith(kinds))


def silent(model):
    """Count the normalisers that begin as zero."""
    layers = [layer for layer in model.modules() if isinstance(layer, (_BatchNorm, Norm))]
    return sum(layer.weight is not None and not layer.weight.any() for layer in layers)


@pytest.mark.parametrize(("name", "family"), pairs(ALL))
def test_it_trains_in_place_of_what_was_there(name, family):
    before = original(family)
    model = copy.deepcopy(before)
    report, kind = convert(model, name)
    types = nn.LayerNorm if kind == "layer_norm" else _BatchNorm
    count = sum(isinstance(layer, types) for layer in before.modules())
    assert len(report.replaced) == count > 2
    old = (layer for layer in model.modules() if not isinstance(layer, Norm))
    assert not any(isinstance(layer, types) for layer in old)
    if name not in WHOLE_NETWORK:
        assert activations(model) == activations(before)
        assert silent(model) == (silent(before) if kind == "batch_norm" else 0)

    images = torch.rand(4, 3, 64, 64)
    with share_context(model).bind(IDS):
        outputs = model(images)
        outputs.square().mean().backward()
        assert outputs.shape == output_shape(family) and outputs.isfinite().all()
        for parameter in model.parameters():
            assert parameter.grad is None or parameter.grad.isfinite().all()
        model.eval()
        assert model(images).isfinite().all()


@pytest.mark.parametrize(("name", "family"), pairs(["resnet18", "mobilenetv3_small_050"]))
def test_a_saved_network_comes_back(name, family):
    torch.manual_seed(0)
    model, again = copy.deepcopy(original(family)), copy.deepcopy(original(family))
    convert(model, name)
    convert(again, name)
    with share_context(model).bind(IDS):
        model(torch.rand(4, 3, 64, 64))
    again.load_state_dict(model.state_dict())
    images = torch.rand(4, 3, 64, 64)
    answers = []
    for one in (model, again, copy.deepcopy(model)):
        with share_context(one).bind(IDS):
            answers.append(one.eval()(images))
    torch.testing.assert_close(answers[1], answers[0])
    torch.testing.assert_close(answers[2], answers[0])
