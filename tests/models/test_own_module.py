"""Modules of the user as backbones: which serve, which are refused, and what stays untouched."""

import copy
import re

import pytest
import timm
import torch
import torchvision
from torch import nn

from dacbn.adapter import DomainAdapter
from dacbn.models import Network, OwnModuleError, create_network
from dacbn.models.own_module import count_features

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


class Returning(nn.Module):
    """Returns what a function makes of pooled colours (B, 3), in training or in evaluation."""

    def __init__(self, make, only_in_training=False):
        super().__init__()
        self.norm = nn.BatchNorm2d(3)
        self.make, self.only_in_training = make, only_in_training

    def forward(self, images):
        """Compute the outputs."""
        features = self.norm(images).mean((2, 3))
        return features if self.only_in_training and not self.training else self.make(features)


def small_cnn(*last):
    return nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), *last)


def pooled():
    return small_cnn(nn.AdaptiveAvgPool2d(1), nn.Flatten())


def torchvisions():
    model = torchvision.models.resnet18()
    model.fc = nn.Identity()
    return model


SERVE = {
    "a sequence": (pooled, 6),
    "torchvision without classifier": (torchvisions, 512),
    "torchvision with classifier": (lambda: torchvision.models.shufflenet_v2_x0_5(), 1000),
    "timm without classifier": (lambda: timm.create_model("test_resnet", num_classes=0), 96),
    "timm with classifier": (lambda: timm.create_model("test_resnet", num_classes=9), 9),
    "one size only": (lambda: timm.create_model("vit_tiny_patch16_224", num_classes=0), 192),
    "images of digits only": (
        lambda: nn.Sequential(nn.Conv2d(3, 2, 5), nn.Flatten(), nn.Linear(2 * 28 * 28, 4)),
        4,
    ),
}


@pytest.mark.parametrize("kind", SERVE)
def test_modules_from_images_to_features_serve(kind):
    build, width = SERVE[kind]
    assert count_features(build()) == width


def test_what_is_tried_leaves_the_module_as_it_was():
    module = nn.Sequential(pooled(), nn.Dropout(0.5), nn.BatchNorm1d(6))
    module[0].eval()
    modes = [each.training for each in module.modules()]
    before, random = copy.deepcopy(module.state_dict()), torch.get_rng_state()
    count_features(module)
    assert [each.training for each in module.modules()] == modes
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)


REFUSED = {
    "a tuple": (lambda f: (f, f), "returns tuple and not features"),
    "a dictionary": (lambda f: {"features": f}, "returns dict and not features"),
    "classes": (lambda f: f.argmax(1, keepdim=True), "returns torch.int64 and not features"),
    "no batch": (lambda f: f.squeeze(), r"returns \(3,\) for 1 images"),
    "tokens": (lambda f: f[:, None], r"returns \(1, 1, 3\) for 1 images"),
    "no features": (lambda f: f[:, :0], r"returns \(1, 0\) for 1 images"),
    "an error": (lambda f: f @ f, r"cannot take images of 64 or 224 or 32 pixels per side \(mat1"),
}


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.parametrize("only_in_training", [False, True])
def test_other_outputs_are_refused_with_what_they_are(kind, only_in_training):
    make, text = REFUSED[kind]
    text = text.replace("1 images", "2 images") if only_in_training else text
    text = re.sub(r"returns \\\(1", r"returns \\(2", text) if only_in_training else text
    if (kind, only_in_training) == ("no batch", True):
        count_features(Returning(make, True))  # two images are two
        return
    with pytest.raises(OwnModuleError, match=f"Returning {text}.*give a module from images"):
        count_features(Returning(make, only_in_training))


def test_what_no_training_could_use_is_refused():
    with pytest.raises(OwnModuleError, match="returns 3 features, and 2 in training"):
        count_features(Returning(lambda f: f[:, :2], only_in_training=True))
    inference = Returning(torch.inference_mode()(lambda f: f + 1))
    with pytest.raises(OwnModuleError, match=r"use torch.no_grad\(\) in place of torch.inference"):
        count_features(inference)


def test_weights_that_are_given_as_a_module_are_not_printed_whole():
    with pytest.raises(OwnModuleError) as caught:
        create_network(torchvisions().state_dict(), None, 3)
    assert len(str(caught.value)) < 300


def test_a_module_with_layer_norms_is_refused_by_the_name_of_the_setting():
    module = nn.Sequential(nn.Flatten(), nn.LazyLinear(4), nn.LayerNorm(4))
    module(torch.zeros(2, 3, 8, 8))
    with pytest.raises(ValueError, match="Replace those by norm_replaces='layer_norm'"):
        DomainAdapter(module, image_size=8)


def test_maps_are_refused_with_the_line_that_pools_them():
    module = small_cnn()
    with pytest.raises(
        OwnModuleError, match=r"returns maps \(1, 6, 62, 62\): add pooling"
    ) as caught:
        count_features(module)
    line = str(caught.value).partition("as in ")[2]
    assert count_features(eval(line, {"torch": torch, "module": module})) == 6


@pytest.mark.parametrize("given", [5, None, nn.Linear, timm.create_model, [pooled()]])
def test_what_is_no_module_is_refused(given):
    with pytest.raises(OwnModuleError, match="backbone must be a name or a torch module, got"):
        create_network(given, None, 3)


def test_half_precision_is_refused_with_the_cure():
    with pytest.raises(OwnModuleError, match="in float32"):
        count_features(pooled().half())


def test_the_size_of_the_images_may_decide_the_number_of_features():
    module = small_cnn(nn.Flatten())
    for size in (8, 12):
        network = create_network(module, "ucb_norm", 3, image_size=size)
        images = torch.rand(2, 3, size, size)
        assert (
            network(images).features.shape == (2, network.num_features) == (2, 6 * (size - 2) ** 2)
        )


def test_a_network_is_built_on_a_converted_copy():
    module = pooled()
    module[0].weight.requires_grad_(False)
    network = create_network(module, "ucb_norm(num_clusters=2)", 3)
    assert type(network.backbone[1]).__name__ == "UCBNorm" and type(module[1]) is nn.BatchNorm2d
    assert torch.equal(network.backbone[0].weight, module[0].weight)
    assert network.backbone[0].weight is not module[0].weight
    assert not network.backbone[0].weight.requires_grad


def test_a_module_with_layers_that_know_clusters_serves():
    from dacbn import convert_norms

    module = pooled()
    convert_norms(module, "scb_norm")
    network = create_network(module, None, 3)
    assert network(torch.rand(2, 3, 9, 9), torch.tensor([0, 1])).logits.shape == (2, 3)


def test_a_copy_keeps_the_function():
    module, images = torchvisions().eval(), torch.rand(2, 3, 64, 64)
    network = create_network(module, None, 3).eval()
    mean, std = (torch.tensor(each)[:, None, None] for each in IMAGENET)
    assert torch.equal(network(images).features, module((images - mean) / std))


def test_pixels_are_those_given_or_of_the_module_or_of_imagenet():
    module = pooled()

    def statistics(**options):
        network = create_network(module, None, 3, **options)
        return network.pixel_mean.flatten().tolist(), network.pixel_std.flatten().tolist()

    assert statistics() == tuple(pytest.approx(each) for each in IMAGENET)
    module.pretrained_cfg = {"mean": (0.1, 0.2, 0.3), "std": (0.4, 0.5, 0.6)}
    assert statistics() == (pytest.approx([0.1, 0.2, 0.3]), pytest.approx([0.4, 0.5, 0.6]))
    given = {"pixel_mean": (0.0, 0.0, 0.0), "pixel_std": (1.0, 1.0, 1.0)}
    assert statistics(**given) == ([0.0] * 3, [1.0] * 3)


def test_a_network_finds_out_how_many_features_a_module_has():
    assert Network(pooled(), 3).num_features == 6
