"""Convolutional backbones lie channels last, and answer as they do contiguous."""

import copy

import pytest
import torch

from dacbn.models import create_network

DEFAULT = "ucb_norm(num_clusters=2, assign='sample')"


def lies_channels_last(network):
    weights = [p for p in network.parameters() if p.ndim == 4 and max(p.shape[2:]) > 1]
    return all(p.is_contiguous(memory_format=torch.channels_last) for p in weights)


@pytest.mark.parametrize("norm", [None, DEFAULT, "ucb_norm", "instance_norm"])
@pytest.mark.parametrize("bfloat16", [False, True])
def test_activations_are_channels_last_and_results_those_of_contiguous_ones(norm, bfloat16):
    torch.manual_seed(0)
    network = create_network("resnet18", norm, 3)
    assert lies_channels_last(network)
    layouts, results = [], []
    network.backbone.layer2.register_forward_hook(lambda *values: layouts.append(values[2]))
    images = torch.rand(4, 3, 64, 64)
    with torch.no_grad():
        network.train()(images)  # layers initialise themselves
    for form in (torch.channels_last, torch.contiguous_format):
        twin = copy.deepcopy(network).to(memory_format=form)
        for training in (True, False):
            twin.train(training)
            with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
                results.append(twin(images).logits.float())
    assert layouts[1].is_contiguous(memory_format=torch.channels_last)
    scale = results[0].abs().max()
    for one, other in zip(results[:2], results[2:], strict=True):
        assert (one - other).abs().max() <= scale * (0.1 if bfloat16 else 1e-3)


def test_a_module_of_ones_own_stays_as_it_is():
    class Own(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = torch.nn.Sequential(
                torch.nn.Conv2d(3, 4, 3, 2), torch.nn.BatchNorm2d(4), torch.nn.Conv2d(4, 8, 3, 2)
            )

        def forward(self, images):
            return self.layers(images).view(len(images), -1)  # needs contiguous activations

    network = create_network(Own(), None, 2, image_size=32)
    assert not lies_channels_last(network)
    network(torch.rand(2, 3, 32, 32))
