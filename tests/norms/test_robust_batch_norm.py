"""RobustBN and MedBN against their equations."""

import numpy as np
import pytest
import torch
from torch import nn

from dacbn.norms import BatchNorm, RobustBatchNorm, following


def source():
    torch.manual_seed(0)
    layer = nn.BatchNorm1d(4)
    for _ in range(5):
        layer(torch.randn(32, 4) * 2 + 3)
    nn.init.uniform_(layer.weight, -2, 2), nn.init.uniform_(layer.bias, -2, 2)
    return layer.eval()


@pytest.mark.parametrize("median", [False, True])
@pytest.mark.parametrize("shape", [(64, 4), (7, 4, 5), (1, 4, 3, 3), (128, 4, 1)])
def test_the_moved_statistics_normalise(shape, median):
    batch_norm = source()
    layer = RobustBatchNorm.from_batch_norm(batch_norm, rate=0.2, median=median)
    mean, var = (each.double().numpy() for each in (layer.running_mean, layer.running_var))
    for _ in range(2):
        x = torch.randn(shape) + 2
        values = np.moveaxis(x.double().numpy(), 1, 0).reshape(4, -1)
        m = 1 - 0.8 ** (shape[0] / 64)
        # the lower of two values in the middle
        middle = np.sort(values, 1)[:, (values.shape[1] - 1) // 2] if median else values.mean(1)
        mean = (1 - m) * mean + m * middle
        var = (1 - m) * var + m * ((values - middle[:, None]) ** 2).mean(1)
        scale = batch_norm.weight.detach().double().numpy() / np.sqrt(var + 1e-5)
        tail = (1,) * (x.ndim - 2)
        wanted = (x.numpy() - mean.reshape(4, *tail)) * scale.reshape(4, *tail)
        wanted = wanted + batch_norm.bias.detach().numpy().reshape(4, *tail)
        with following(layer):
            torch.testing.assert_close(
                layer(x).detach().double(), torch.tensor(wanted).double(), rtol=1e-4, atol=1e-5
            )
        np.testing.assert_allclose(layer.running_mean, mean, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(layer.running_var, var, rtol=1e-5, atol=1e-6)


def test_the_median_of_a_few_wild_images_is_that_of_the_others():
    layers = [RobustBatchNorm.from_batch_norm(source(), rate=1.0, median=m) for m in (False, True)]
    x = torch.randn(64, 4, 5)
    x[:4] += 1000
    for layer in layers:
        with following(layer):
            layer(x)
    assert layers[0].running_mean.min() > 50 > 1 > layers[1].running_mean.abs().max()


def test_elsewhere_it_is_batch_norm():
    ours, theirs = RobustBatchNorm(4), BatchNorm(4)
    x = torch.randn(8, 4, 3)
    for training in (True, False):
        assert torch.equal(ours.train(training)(x), theirs.train(training)(x))
    assert torch.equal(ours.running_mean, theirs.running_mean)


def test_a_single_value_and_one_that_is_not_finite_move_nothing():
    layer = RobustBatchNorm.from_batch_norm(source())
    before = layer.running_mean.clone()
    with following(layer):
        layer(torch.randn(1, 4))
        layer(torch.full((4, 4), float("inf")))
    assert torch.equal(layer.running_mean, before)


def test_gradients_are_of_the_map_and_not_of_the_statistics():
    layer = RobustBatchNorm.from_batch_norm(source())
    x = torch.randn(8, 4, requires_grad=True)
    with following(layer):
        first = layer(x)
        layer(x)  # moves what the first pass has read
        first.sum().backward()
    assert x.grad.std(0).max() < 1e-6 and layer.weight.grad.abs().min() > 0
