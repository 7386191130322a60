"""Tent, and what all test-time methods share: what moves, what stays, whose statistics serve."""

import copy

import numpy as np
import pytest
import torch
from colour_shift import (
    ByHand,
    Normalised,
    accuracy,
    affine_of,
    draw_images,
    trained_network,
)
from torch import nn

from dacbn.methods import Tent, test_time_methods
from dacbn.methods.online import affine_parameters
from dacbn.models import Network, create_network
from dacbn.norms import norms

TARGET = torch.ones(64, dtype=torch.int64)
LEARN_AFFINE = [name for name in test_time_methods if name not in ("lame", "cotta", "rotta")]


@pytest.fixture
def network(generator):
    torch.manual_seed(0)
    return trained_network(generator)


def test_one_step_is_adams_on_the_mean_entropy(network, images):
    method = Tent(network, lr=0.01)
    by_hand = ByHand(network, images)
    start = affine_of(network)
    output = method.predict(images, TARGET)
    np.testing.assert_allclose(output.logits, by_hand.logits(start), rtol=1e-4, atol=1e-5)
    slope = by_hand.slope(start, np.arange(64))
    wanted = start - 0.01 * slope / (abs(slope) + 1e-8)  # Adam's first step
    np.testing.assert_allclose(affine_of(method.network), wanted, rtol=1e-4, atol=1e-6)


def test_predictions_are_those_before_the_step_and_have_no_gradient(network, images):
    method = Tent(network, lr=0.5)
    first = method.predict(images, TARGET)
    assert not first.logits.requires_grad and not first.features.requires_grad
    assert torch.equal(first.logits, Tent(network, lr=0.001).predict(images, TARGET).logits)
    assert not torch.equal(first.logits, method.predict(images, TARGET).logits)


@pytest.mark.parametrize("name", LEARN_AFFINE)
@pytest.mark.parametrize("norm", [name for name in norms if name != "self_normalizing"])
def test_only_scales_and_shifts_of_normalisers_move(name, norm):
    network = create_network("digits_cnn", norm, 3, classifier=(8,))
    network(torch.rand(64, 3, 16, 16), torch.arange(64) % 2)  # some place themselves on a batch
    given = copy.deepcopy(network.state_dict())
    options = "(margin=1.5, lr=0.01)" if name in ("sar", "eata") else "(lr=0.01)"
    method = test_time_methods.build(name + options, network)
    for _ in range(2):
        output = method.predict(torch.rand(64, 3, 16, 16), TARGET)
        assert output.logits.isfinite().all()
    assert all(torch.equal(value, given[key]) for key, value in network.state_dict().items())
    moved = {
        key
        for key, value in method.network.named_parameters()
        if not torch.equal(value, given[key])
    }
    affine = {
        f"{place}.{part}"
        for place, layer in network.named_modules()
        if hasattr(layer, "num_features") and "norm" in type(layer).__module__
        for part in ("weight", "bias")
    }
    assert moved and moved <= affine


def test_every_kind_of_normaliser_is_found_once():
    class Mixed(nn.Module):
        head_hidden_size = 4

        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList(
                [
                    nn.BatchNorm2d(4),
                    nn.LayerNorm(4),
                    nn.GroupNorm(2, 4),
                    nn.InstanceNorm2d(4, affine=True),
                    norms["ucb_norm"](4),
                    nn.BatchNorm2d(4, affine=False),
                    nn.Conv2d(4, 4, 1),
                ]
            )
            self.layers.append(self.layers[0])  # used twice

    network = Network(Mixed(), 3)
    found = affine_parameters(network)
    wanted = [p for layer in network.backbone.layers[:5] for p in (layer.weight, layer.bias)]
    assert [id(p) for p in found] == [id(p) for p in wanted]


def test_a_network_without_normalisers_cannot_be_adapted():
    network = Network(Normalised(nn.Identity()), 3)
    with pytest.raises(ValueError, match="network has none: predict without adapting"):
        Tent(network)


def test_batches_are_normalised_by_themselves_and_dropout_is_off(generator, images):
    network = trained_network(generator)
    network.backbone.norm.running_mean.fill_(100)
    network.classifier = nn.Sequential(nn.Dropout(0.9), network.classifier)
    first, again = (Tent(network).predict(images, TARGET).logits for _ in range(2))
    assert torch.equal(first, again)
    by_hand = ByHand(Network(network.backbone, 3), images)
    by_hand.matrix = network.classifier[1].weight.detach().double().numpy()
    by_hand.offset = network.classifier[1].bias.detach().double().numpy()
    np.testing.assert_allclose(first, by_hand.logits(affine_of(network)), rtol=1e-4, atol=1e-5)


def test_a_shift_of_colours_is_undone(network, generator):
    method, right, plain = Tent(network, lr=0.05), [], []
    for _ in range(20):
        images, labels = draw_images(64, True, generator)
        right.append(accuracy(method.predict(images, TARGET).logits, labels))
        plain.append(accuracy(network(images).logits, labels))
    assert np.mean(plain) < 0.7
    assert np.mean(right[-5:]) > 0.9
