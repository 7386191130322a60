"""Conversion of timm's architectures: everything but the normaliser stays."""

import copy
from collections import Counter

import pytest
import timm
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from dacbn.models import Network, convert_norms, create_backbone
from dacbn.norms import BatchNorm, Norm, SCBNorm, UCBNorm, share_context
from dacbn.registry import UnknownNameError

FAMILIES = [
    "cs3darknet_s",
    "cspresnet50",
    "densenet121",
    "dla46_c",
    "dpn48b",
    "efficientnet_b0",
    "efficientvit_b0",
    "ese_vovnet19b_dw",
    "fastvit_t8",
    "fbnetc_100",
    "gernet_s",
    "ghostnet_050",
    "hardcorenas_a",
    "hgnetv2_b0",
    "lcnet_050",
    "legacy_seresnet18",
    "mobilenetv2_050",
    "mobilenetv3_small_050",
    "mobilenetv4_conv_small",
    "mobilevit_xxs",
    "regnetx_002",
    "regnety_002",
    "repvgg_a0",
    "res2net50_26w_4s",
    "resnet18",
    "resnet50",
    "resnetv2_18",
    "resnext26ts",
    "seresnet18",
    "skresnet18",
    "starnet_s1",
    "tinynet_e",
]
# Those whose residual branches timm starts at zero.
ZERO_INITIALISED = {"resnet18": 8, "resnet50": 16, "regnety_002": 13, "res2net50_26w_4s": 16}


def small():
    """Return a network with three BatchNorms: 1, 3 and 4.0."""
    block = nn.Sequential(nn.BatchNorm1d(4))
    return nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.BatchNorm1d(4), block)


def all_but_norms(model):
    """Count the layers by type, without normalisers (whole), containers and identities."""
    inside = {
        id(part) for layer in model.modules() if isinstance(layer, Norm) for part in layer.modules()
    }
    return Counter(
        type(layer)
        for layer in model.modules()
        if id(layer) not in inside
        and not isinstance(layer, (_BatchNorm, nn.Sequential, nn.Identity))
    )


def zero_weights(model):
    """Count the normalisers whose weight is all zero: residual branches that start silent."""
    layers = [layer for layer in model.modules() if isinstance(layer, (_BatchNorm, Norm))]
    return sum(layer.weight is not None and bool((layer.weight == 0).all()) for layer in layers)


def with_trained_statistics(model):
    """Give every BatchNorm of model statistics and an affine that differ from their defaults."""
    for layer in model.modules():
        if isinstance(layer, _BatchNorm):
            nn.init.normal_(layer.running_mean, 0, 0.1)
            nn.init.uniform_(layer.running_var, 0.5, 1.5)
            if layer.affine:
                nn.init.uniform_(layer.weight, 0.5, 1.5)
                nn.init.normal_(layer.bias, 0, 0.1)
    return model.eval()


@pytest.fixture(scope="module", params=FAMILIES)
def architecture(request):
    """Return a name and its timm model, built once for all tests of a family."""
    return request.param, create_backbone(request.param)


@torch.no_grad()
def test_every_architecture_keeps_its_activations_its_zeros_and_its_function(architecture):
    name, model = architecture
    before = copy.deepcopy(model)
    model = with_trained_statistics(copy.deepcopy(model))
    count = sum(isinstance(layer, _BatchNorm) for layer in model.modules())
    images = torch.rand(2, 3, 64, 64)
    original = model(images)

    layers = all_but_norms(model)
    report = convert_norms(model, "ucb_norm", num_clusters=1)
    assert len(report.replaced) >= count > 0 and report.kept == ()
    old = (layer for layer in model.modules() if not isinstance(layer, Norm))
    assert not any(isinstance(layer, _BatchNorm) for layer in old)
    assert sum(isinstance(layer, Norm) for layer in model.modules()) == count
    assert all_but_norms(model) == layers

    converted = model(images)
    assert converted.shape == (2, model.head_hidden_size)
    assert (converted - original).norm() < 1e-4 * original.norm()

    zeros = zero_weights(before)
    convert_norms(before, "scb_norm")
    assert zero_weights(before) == zeros
    if name in ZERO_INITIALISED:
        assert zeros == ZERO_INITIALISED[name]


def test_levit_with_its_one_dimensional_batch_norms_is_converted():
    model = with_trained_statistics(create_backbone("levit_128s"))
    images = torch.rand(1, 3, 224, 224)
    with torch.no_grad():
        original = model(images)
        convert_norms(model, "ucb_norm", num_clusters=1)
        assert (model(images) - original).norm() < 1e-4 * original.norm()


@pytest.mark.parametrize("name", ["resnet18", "mobilenetv3_small_050", "regnety_002"])
@pytest.mark.parametrize("norm", ["batch_norm", "scb_norm", "ucb_norm"])
@torch.no_grad()
def test_a_trained_network_keeps_nearly_its_function(name, norm):
    model = with_trained_statistics(create_backbone(name))
    images = torch.rand(4, 3, 64, 64)
    original = model(images)
    convert_norms(model, norm)
    with share_context(model).bind(torch.tensor([0, 1, 0, 1])):
        assert (model(images) - original).norm() < 0.1 * original.norm()


@pytest.mark.parametrize("norm", ["scb_norm", "ucb_norm(num_clusters=2)"])
def test_a_converted_network_trains(norm):
    network = Network(create_backbone("resnet18"), 5)
    convert_norms(network.backbone, norm)
    network = Network(network.backbone, 5)
    ids = torch.tensor([0, 1, 0, 1])
    network(torch.rand(4, 3, 32, 32), ids).logits.square().sum().backward()
    gradients = [parameter.grad for parameter in network.parameters()]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)


class Twice(nn.Module):
    """A BatchNorm that a network knows under two names."""

    def __init__(self):
        super().__init__()
        self.one = nn.BatchNorm1d(4)
        self.block = nn.Sequential(nn.Linear(4, 4), self.one)

    def forward(self, x):
        """Normalise, map and normalise again."""
        return self.block(self.one(x))


def test_a_module_with_two_names_is_replaced_under_both():
    model = Twice()
    report = convert_norms(model, "batch_norm")
    assert report.replaced == ("one", "block.1")
    assert isinstance(model.one, BatchNorm) and model.block[1] is model.one


@pytest.mark.parametrize(
    ("name", "instead"),
    [("convnext_atto", "LayerNorm"), ("vit_tiny_patch16_224", "LayerNorm")],
)
def test_a_model_without_batch_norm_raises_and_says_what_it_has(name, instead):
    model = create_backbone(name)
    with pytest.raises(
        ValueError, match=rf"no BatchNorm to replace; .*\d+ {instead}.*replaces='layer_norm'"
    ):
        convert_norms(model, "ucb_norm")


def test_a_swin_transformer_raises_too():
    # A full swin is slow to build and has the same layers.
    model = timm.create_model(
        "swin_tiny_patch4_window7_224", depths=(1, 1, 1, 1), embed_dim=24, num_heads=(1, 2, 4, 8)
    )
    with pytest.raises(ValueError, match=r"SwinTransformer has no BatchNorm.*LayerNorm"):
        convert_norms(model, "ucb_norm")


def test_a_model_that_was_converted_already_says_so():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    convert_norms(model, "batch_norm")
    with pytest.raises(ValueError, match=r"normalises with 1 BatchNorm: .*converted already"):
        convert_norms(model, "ucb_norm")


def test_a_model_without_any_normaliser_raises():
    with pytest.raises(ValueError, match="no normaliser"):
        convert_norms(nn.Linear(3, 3), "ucb_norm")


@pytest.mark.parametrize(
    ("sites", "replaced", "kept"),
    [
        ("all", ("1", "3", "4.0"), ()),
        ("first", ("1",), ("3", "4.0")),
        ("last", ("4.0",), ("1", "3")),
        ("[13]", ("1", "3"), ("4.0",)),
    ],
)
def test_sites_choose_what_is_replaced(sites, replaced, kept):
    model = small()
    report = convert_norms(model, "ucb_norm", sites)
    assert (report.replaced, report.kept) == (replaced, kept)
    for name in replaced:
        assert isinstance(model.get_submodule(name), UCBNorm)
    for name in kept:
        assert isinstance(model.get_submodule(name), _BatchNorm)


def test_a_pattern_that_matches_nothing_raises_and_changes_nothing():
    model = small()
    with pytest.raises(ValueError, match=r"named like 'stage9\.\*'.*1, 3, 4\.0"):
        convert_norms(model, "ucb_norm", "stage9.*")
    assert not any(isinstance(layer, Norm) for layer in model.modules())


def test_a_stage_of_a_resnet_is_a_pattern():
    report = convert_norms(create_backbone("resnet18"), "ucb_norm", "layer1.*")
    assert report.replaced == ("layer1.0.bn1", "layer1.0.bn2", "layer1.1.bn1", "layer1.1.bn2")


def test_the_report_reads_as_a_sentence():
    assert (
        str(convert_norms(small(), "ucb_norm"))
        == "3 BatchNorm layers became UCBNorm; affine carried over"
    )
    first = convert_norms(small(), "ucb_norm", "first")
    assert str(first) == "1 BatchNorm layers became UCBNorm, 2 stay; affine carried over"


def test_options_come_from_the_specification_and_from_keywords():
    model = small()
    convert_norms(model, "ucb_norm(num_clusters=5, momentum=0.3)", update="hybrid")
    layer = model[1]
    assert (layer.num_clusters, layer.update, layer.running.momentum) == (5, "hybrid", 0.3)


def test_a_class_is_as_good_as_a_name():
    model = small()
    convert_norms(model, SCBNorm, num_clusters=4)
    assert model[1].num_clusters == 4


@pytest.mark.parametrize("norm", ["batch_norm", "ucb_norm"])
def test_what_is_not_given_is_as_in_the_batch_norm(norm):
    model = nn.Sequential(nn.BatchNorm2d(4, eps=0.02, momentum=0.7, affine=False))
    convert_norms(model, norm)
    assert model[0].eps == 0.02 and model[0].weight is None
    assert (model[0] if norm == "batch_norm" else model[0].running).momentum == 0.7


def test_an_unknown_norm_names_the_nearest_and_the_known():
    with pytest.raises(UnknownNameError, match=r"'ucb_nrm'\. Did you mean 'ucb_norm'\?.*scb_norm"):
        convert_norms(small(), "ucb_nrm")


def test_an_unknown_option_names_the_known_ones_and_changes_nothing():
    model = small()
    with pytest.raises(ValueError, match=r"ucb_norm has no option 'clusters', only num_clusters"):
        convert_norms(model, "ucb_norm(clusters=3)")
    with pytest.raises(ValueError, match=r"ucb_norm has no option 'clusters', only num_clusters"):
        convert_norms(model, "ucb_norm", clusters=3)
    with pytest.raises(ValueError, match=r"SCBNorm has no option 'clusters', only num_clusters"):
        convert_norms(model, SCBNorm, clusters=3)
    assert not any(isinstance(layer, Norm) for layer in model.modules())


def test_dropout_and_activation_of_a_fused_layer_stay_in_order():
    layer = timm.layers.BatchNormAct2d(4, act_layer=nn.SiLU, drop_layer=nn.Dropout)
    model = nn.Sequential(layer)
    convert_norms(model, "batch_norm")
    assert [type(part) for part in model[0]] == [BatchNorm, nn.Dropout, nn.SiLU]
    assert model[0][2] is layer.act


def test_a_model_in_double_precision_stays_so():
    model = small().double()
    convert_norms(model, "ucb_norm")
    assert model(torch.randn(8, 4, dtype=torch.float64)).dtype == torch.float64
    assert all(parameter.dtype == torch.float64 for parameter in model.parameters())
