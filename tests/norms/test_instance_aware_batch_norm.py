"""IABN against a slow loop written from the equations."""

import pytest
import torch
from torch import nn

from dacbn.norms import InstanceAwareBatchNorm, following

C, EPS = 4, 1e-5


def source():
    torch.manual_seed(0)
    layer = nn.BatchNorm2d(C).double()
    for _ in range(5):
        layer(torch.randn(32, C, 4, 4).double() * 2 + 1)
    nn.init.uniform_(layer.weight, -2, 2), nn.init.uniform_(layer.bias, -2, 2)
    return layer.eval()


def soft(difference, by):
    return difference.sign() * (difference.abs() - by).clamp_min(0)


def loop(x, mean, var, k, weight, bias):
    out = torch.empty_like(x)
    for n in range(len(x)):
        for c in range(C):
            values, length = x[n, c], x[n, c].numel()
            own_mean, own_var = values.mean(), values.var(correction=1)
            m = mean[c] + soft(own_mean - mean[c], k * (var[c] / length).sqrt())
            v = var[c] + soft(own_var - var[c], k * var[c] * (2 / (length - 1)) ** 0.5)
            out[n, c] = (values - m) / (v.clamp_min(0) + EPS).sqrt() * weight[c] + bias[c]
    return out


@pytest.mark.parametrize("k", [0.0, 0.5, 3.0])
def test_each_sample_corrects_the_running_statistics(k):
    batch_norm = source()
    layer = InstanceAwareBatchNorm.from_batch_norm(batch_norm, threshold=k)
    x = torch.randn(6, C, 5, 3).double() * torch.rand(6, C, 1, 1) * 4 + torch.randn(6, C, 1, 1)
    known = batch_norm.running_mean, batch_norm.running_var
    expected = loop(x, *known, k, batch_norm.weight, batch_norm.bias)
    torch.testing.assert_close(layer(x), expected)
    torch.testing.assert_close(layer(x[2:3]), expected[2:3])  # no batch has a part in it


def test_in_training_those_of_the_batch_are_corrected():
    layer = InstanceAwareBatchNorm(C, threshold=1.0).double()
    x = torch.randn(6, C, 5, 3).double() * torch.rand(6, C, 1, 1) * 4
    mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3), correction=0)
    torch.testing.assert_close(layer(x), loop(x, mean, var, 1.0, torch.ones(C), torch.zeros(C)))
    theirs = nn.BatchNorm2d(C).double()
    theirs(x)
    for ours, wanted in zip(
        layer.running_moments(), (theirs.running_mean, theirs.running_var), strict=True
    ):
        torch.testing.assert_close(ours, wanted)


def test_a_large_threshold_leaves_batch_norm():
    batch_norm = source()
    layer = InstanceAwareBatchNorm.from_batch_norm(batch_norm, threshold=1e6)
    x = torch.randn(6, C, 5, 3).double() * 9
    torch.testing.assert_close(layer(x), batch_norm(x))


def test_one_position_is_normalised_as_by_batch_norm():
    batch_norm = source()
    layer, x = InstanceAwareBatchNorm.from_batch_norm(batch_norm), torch.randn(6, C, 1, 1).double()
    torch.testing.assert_close(layer(x), batch_norm(x))


@pytest.mark.parametrize("rate", [0.0, 0.25])
def test_a_stream_moves_the_running_statistics_by_the_rate(rate):
    batch_norm = source()
    layer = InstanceAwareBatchNorm.from_batch_norm(batch_norm, rate=rate)
    x = torch.randn(64, C, 3, 3).double() + 5
    with following(layer):
        layer(x)
    mean = batch_norm.running_mean.lerp(x.mean((0, 2, 3)), rate)
    torch.testing.assert_close(layer.running_mean, mean)
