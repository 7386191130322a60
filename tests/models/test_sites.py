"""Normalisers at the input and in place of LayerNorms."""

import copy

import pytest
import timm
import torch
from torch import nn

from dacbn.models import convert_norms, create_backbone, create_network
from dacbn.models.sites import ChannelsLast
from dacbn.norms import BatchNorm, Norm, UCBNorm


def small_convnext():
    return timm.create_model("convnext_atto", depths=(1, 1, 1, 1), dims=(8, 16, 24, 32))


def small_vit():
    return timm.create_model(
        "vit_tiny_patch16_224", depth=2, embed_dim=24, num_heads=2, img_size=64, num_classes=5
    )


@pytest.mark.parametrize("build", [small_convnext, small_vit])
@pytest.mark.parametrize("norm", ["batch_norm", "ucb_norm(num_clusters=2)"])
def test_layer_norms_are_replaced_where_asked_for(build, norm):
    model = build()
    count = sum(isinstance(layer, nn.LayerNorm) for layer in model.modules())
    report = convert_norms(model, norm, replaces="layer_norm")
    assert len(report.replaced) == count > 2 and report.kind == "LayerNorm"
    assert not any(isinstance(layer, nn.LayerNorm) for layer in model.modules())
    model(torch.rand(4, 3, 64, 64)).square().sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    assert model.eval()(torch.rand(1, 3, 64, 64)).isfinite().all()


def test_the_affine_map_of_a_layer_norm_carries_over():
    model = nn.Sequential(nn.LayerNorm(4))
    nn.init.normal_(model[0].weight), nn.init.normal_(model[0].bias)
    theirs = copy.deepcopy(model[0])
    report = convert_norms(model, "batch_norm", replaces="layer_norm")
    assert report.carried == ("affine",)
    assert torch.equal(model[0].norm.weight, theirs.weight)
    assert torch.equal(model[0].norm.bias, theirs.bias)
    assert model[0].norm.eps == theirs.eps


def test_channels_that_come_last_are_normalised_and_stay_last():
    layer, x = ChannelsLast(BatchNorm(4)), torch.randn(6, 5, 4) * 3 + 2
    y = layer(x)
    assert y.shape == x.shape
    values = x.reshape(-1, 4)
    expected = (values - values.mean(0)) / values.std(0, correction=0)
    torch.testing.assert_close(y.reshape(-1, 4), expected, rtol=1e-3, atol=1e-4)


def test_a_model_without_layer_norms_says_what_it_has():
    with pytest.raises(ValueError, match=r"no LayerNorm to replace.*replaces='batch_norm'"):
        convert_norms(create_backbone("resnet18"), "batch_norm", replaces="layer_norm")


def test_an_unknown_kind_names_the_known():
    with pytest.raises(ValueError, match="batch_norm, layer_norm, got 'group_norm'"):
        convert_norms(create_backbone("digits_cnn"), "batch_norm", replaces="group_norm")


def test_a_normaliser_at_the_input_sees_the_images_first():
    model, images = create_backbone("digits_cnn"), torch.rand(8, 3, 32, 32) * 9 + 4
    plain = copy.deepcopy(model)
    report = convert_norms(model, "batch_norm", sites="input")
    assert report.replaced == ("input_norm",) and isinstance(model.input_norm, BatchNorm)
    normalised = torch.nn.functional.batch_norm(images, None, None, training=True)
    torch.testing.assert_close(model(images), plain(normalised), rtol=1e-4, atol=1e-4)


def test_a_copy_of_a_model_has_an_input_norm_of_its_own():
    model = create_backbone("digits_cnn")
    convert_norms(model, "batch_norm", sites="input")
    twin = copy.deepcopy(model)
    twin(torch.rand(4, 3, 32, 32) + 5)
    assert torch.equal(model.input_norm.running_mean, torch.zeros(3))
    assert twin.input_norm.running_mean.min() > 0.4
    assert "input_norm.running_mean" in twin.state_dict()


def test_a_second_input_norm_raises():
    model = create_backbone("digits_cnn")
    convert_norms(model, "batch_norm", sites="input")
    with pytest.raises(ValueError, match="already has an input_norm"):
        convert_norms(model, "batch_norm", sites="input")


def test_a_network_can_have_one_beside_converted_layers():
    network = create_network("digits_cnn", "ucb_norm", 10, input_norm="scb_norm")
    assert sum(isinstance(layer, UCBNorm) for layer in network.modules()) == 2
    with pytest.raises(RuntimeError, match="needs cluster ids"):
        network(torch.rand(4, 3, 32, 32))
    assert network(torch.rand(4, 3, 32, 32), torch.tensor([0, 1, 0, 1])).logits.shape == (4, 10)


def test_it_is_no_site_of_a_later_conversion():
    model = create_backbone("digits_cnn")
    convert_norms(model, "batch_norm", sites="input")
    report = convert_norms(model, "ucb_norm")
    assert "input_norm" not in report.replaced
    assert sum(isinstance(layer, Norm) for layer in model.modules()) == 3


def test_the_report_says_what_was_carried_over():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    model(torch.randn(8, 3, 6, 6) + 3)
    report = convert_norms(model, "batch_norm")
    assert report.carried == ("affine", "statistics")
    assert str(report) == "1 BatchNorm layers became BatchNorm; affine and statistics carried over"
