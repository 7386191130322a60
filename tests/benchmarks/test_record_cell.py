"""The path of a network's statistics during a benchmark's stream."""

import copy

import numpy as np
import pytest
import torch

from dacbn.benchmarks.stream_cell import Cell
from dacbn.benchmarks.stream_path import record_cell
from dacbn.datasets import LabelledImages, TensorImages
from dacbn.models import create_network

NORM = "robust_batch_norm(rate=0.9)"


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    network = create_network("digits_cnn", None, 10)
    network(torch.rand(32, 3, 32, 32))
    return network.eval()


@pytest.fixture(scope="module")
def parts():
    generator, found = torch.Generator().manual_seed(0), {}
    for name, count, most in (("day", 30, 256), ("night", 20, 60)):
        pixels = torch.randint(0, most, (count, 3, 32, 32), generator=generator, dtype=torch.uint8)
        labels = torch.arange(count) % 10
        found[name] = LabelledImages(TensorImages(pixels), labels, tuple("0123456789"))
    return found


@pytest.mark.parametrize("method", [None, "tent"])
def test_batches_belong_to_parts_and_statistics_return_before_each(network, parts, method):
    before = copy.deepcopy(network.state_dict())
    cell = Cell("iid", 20, NORM, method, 0)
    path = record_cell(network, parts, cell)
    assert path.parts == ("day", "night")
    assert path.images.tolist() == [20, 30, 50] and path.part.tolist() == [0, 0, 1]
    first = record_cell(network, {"night": parts["night"]}, Cell("continual", 20, NORM, method, 0))
    going = record_cell(network, parts, cell, reset=False)
    for name, layer in path.layers.items():
        alone = first.layers[name].to_source[0]
        assert layer.to_source[-1] == pytest.approx(alone, rel=1e-4)
        assert going.layers[name].to_source[-1] != pytest.approx(alone, rel=1e-4)
        np.testing.assert_array_equal(layer.to_source[:2], going.layers[name].to_source[:2])
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


@pytest.mark.parametrize("norm", ["source", "alpha_batch_norm"])
def test_a_norm_that_does_not_follow_has_no_path(network, parts, norm):
    assert record_cell(network, parts, Cell("iid", 20, norm, None, 0)) is None
