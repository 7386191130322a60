"""Maps of weights, written with a plus after a normaliser."""

import copy

import pytest
import timm
import torch
from safetensors.torch import load, save
from torch import nn
from torch.nn.utils import parametrize

from dacbn.models import convert_norms
from dacbn.norms import BatchChannelNorm, Norm, WeightStandardization
from dacbn.registry import UnknownNameError

SPEC = "batch_channel_norm + weight_standardization"


def small_resnet():
    """Return a resnet18 of one narrow block a stage."""
    return timm.create_model(
        "resnet18", layers=(1, 1, 1, 1), channels=(8, 16, 24, 40), num_classes=0
    )


def convolutions_of(model):
    return {name: part for name, part in model.named_modules() if isinstance(part, nn.Conv2d)}


@pytest.mark.parametrize("spec", [SPEC, "mean_only_batch_norm + bounded_weight_norm"])
def test_a_plus_maps_the_weights_before_every_normaliser(spec):
    model = small_resnet()
    report = convert_norms(model, spec)
    layers = convolutions_of(model)
    assert set(report.mapped) == set(layers) and len(report.replaced) == len(layers)
    assert all(parametrize.is_parametrized(layer, "weight") for layer in layers.values())
    assert f"the weights of {len(layers)} layers before them are mapped" in str(report)
    model(torch.rand(4, 3, 64, 64)).square().sum().backward()
    gradients = [parameter.grad for parameter in model.parameters()]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)


def test_the_weights_are_standardised():
    model = small_resnet()
    convert_norms(model, SPEC)
    filters = model.layer1[0].conv2.weight.flatten(1)
    torch.testing.assert_close(filters.mean(1), torch.zeros(8), atol=1e-4, rtol=0)
    torch.testing.assert_close(filters.std(1, correction=0), torch.ones(8), rtol=1e-2, atol=0)


def test_only_the_chosen_sites_have_their_weights_mapped():
    model = small_resnet()
    report = convert_norms(model, SPEC, "layer2.*")
    assert report.mapped == (
        "layer2.0.conv1",
        "layer2.0.conv2",
        "layer2.0.downsample.0",
    )
    assert not parametrize.is_parametrized(model.conv1)


def test_options_belong_to_the_term_they_are_written_with():
    model = small_resnet()
    convert_norms(
        model, "batch_channel_norm(num_groups=2) + weight_standardization(eps=0.5)", momentum=0.3
    )
    assert (model.bn1.num_groups, model.bn1.momentum, model.bn1.eps) == (2, 0.3, 1e-5)
    assert model.conv1.parametrizations.weight[0].eps == 0.5


def test_maps_are_applied_in_the_order_they_are_written():
    model = nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4))
    convert_norms(model, "batch_norm + weight_standardization + bounded_weight_norm")
    kinds = [type(part).__name__ for part in model[0].parametrizations.weight]
    assert kinds == ["WeightStandardization", "BoundedWeightNorm"]


def test_without_a_plus_no_weight_is_mapped():
    model = small_resnet()
    report = convert_norms(model, "batch_channel_norm")
    assert report.mapped == () and "mapped" not in str(report)
    assert not any(parametrize.is_parametrized(part) for part in model.modules())


def test_an_unknown_map_names_the_nearest_and_changes_nothing():
    model = small_resnet()
    with pytest.raises(
        UnknownNameError,
        match=r"unknown weight parametrization 'weight_standardisation'\. "
        r"Did you mean 'weight_standardization'\?.*bounded_weight_norm",
    ):
        convert_norms(model, "batch_norm + weight_standardisation")
    assert not any(isinstance(part, Norm) for part in model.modules())


def test_an_unknown_option_of_a_map_names_the_known_ones():
    with pytest.raises(ValueError, match=r"weight_standardization has no option 'gain'.*eps"):
        convert_norms(small_resnet(), "batch_norm + weight_standardization(gain=2)")


def test_a_normaliser_that_no_weight_feeds_raises():
    with pytest.raises(ValueError, match="no convolution or linear layer comes before"):
        convert_norms(nn.Sequential(nn.BatchNorm1d(4)), "batch_norm + weight_standardization")


@pytest.mark.parametrize("spec", [SPEC, "mean_only_batch_norm + bounded_weight_norm"])
def test_a_loaded_network_is_the_saved_one(spec):
    saved, loaded = small_resnet(), small_resnet()
    for model in (saved, loaded):
        convert_norms(model, spec)
    saved(torch.rand(4, 3, 64, 64))
    loaded.load_state_dict(load(save(saved.state_dict())))
    images = torch.rand(2, 3, 64, 64)
    assert torch.equal(loaded.eval()(images), saved.eval()(images))


def test_a_copy_has_weights_of_its_own():
    model = small_resnet()
    convert_norms(model, SPEC)
    twin, images = copy.deepcopy(model.eval()), torch.rand(2, 3, 64, 64)
    assert torch.equal(twin(images), model(images))
    before = model(images)
    with torch.no_grad():
        twin.conv1.parametrizations.weight.original.normal_()
    assert torch.equal(model(images), before) and not torch.equal(twin(images), before)


def test_removing_the_maps_bakes_the_weights_in():
    model = small_resnet()
    report = convert_norms(model, SPEC)
    images = torch.rand(2, 3, 64, 64)
    before = model.eval()(images)
    for name in report.mapped:
        parametrize.remove_parametrizations(model.get_submodule(name), "weight")
    assert not any(isinstance(part, WeightStandardization) for part in model.modules())
    assert isinstance(model.bn1, BatchChannelNorm) and type(model.conv1) is nn.Conv2d
    torch.testing.assert_close(model(images), before)
    assert "conv1.weight" in model.state_dict()
