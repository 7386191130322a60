"""Alpha-BN against its equations, and DATTA's switch."""

import math

import pytest
import torch
from torch import nn

from dacbn.norms import AlphaBatchNorm, BatchNorm, PredictionTimeBatchNorm

C = 4


def source():
    torch.manual_seed(0)
    layer = nn.BatchNorm2d(C).double()
    for _ in range(5):
        layer(torch.randn(32, C, 4, 4).double() * 2 + 1)
    nn.init.uniform_(layer.weight, -2, 2), nn.init.uniform_(layer.bias, -2, 2)
    return layer.eval()


def blended(x, batch_norm, alpha):
    mean = (1 - alpha) * batch_norm.running_mean + alpha * x.mean((0, 2, 3))
    var = (1 - alpha) * batch_norm.running_var + alpha * x.var((0, 2, 3), correction=0)
    weight, bias = batch_norm.weight, batch_norm.bias
    return nn.functional.batch_norm(x, mean, var, weight, bias)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_evaluation_blends_the_statistics(alpha):
    batch_norm = source()
    layer = AlphaBatchNorm.from_batch_norm(batch_norm, alpha=alpha)
    x = torch.randn(6, C, 5, 3).double() * 3
    torch.testing.assert_close(layer(x), blended(x, batch_norm, alpha))
    torch.testing.assert_close(layer(x), layer(x))


def test_its_ends_are_the_source_and_the_batch():
    batch_norm, x = source(), torch.randn(6, C, 5, 3).double() * 3
    torch.testing.assert_close(
        AlphaBatchNorm.from_batch_norm(batch_norm, alpha=0.0)(x), batch_norm(x)
    )
    by_batch = PredictionTimeBatchNorm.from_batch_norm(batch_norm)
    torch.testing.assert_close(
        AlphaBatchNorm.from_batch_norm(batch_norm, alpha=1.0)(x), by_batch(x)
    )


def test_it_trains_as_batch_norm():
    ours, theirs, x = AlphaBatchNorm(C), BatchNorm(C), torch.randn(8, C, 3, 3)
    assert torch.equal(ours(x), theirs(x))


def angles(x, source_mean):
    """The mean angle, at the source's mean, between the mean of a sample and that of the batch."""
    found, mean = [], x.mean((0, 2, 3))
    for sample in x.mean((2, 3)):
        one, other = sample - source_mean, mean - source_mean
        found.append(math.acos(float(one @ other / (one.norm() * other.norm()))))
    return sum(found) / len(found)


@pytest.mark.parametrize("diverse", [True, False])
def test_a_diverse_batch_is_blended_by_the_other_alpha(diverse):
    batch_norm = source()
    x = torch.randn(8, C, 5, 3).double() + torch.randn(8, C, 1, 1)
    spread = angles(x, batch_norm.running_mean)
    threshold = spread * (0.99 if diverse else 1.01)
    layer = AlphaBatchNorm.from_batch_norm(
        batch_norm, alpha=0.4, mixed_alpha=0.15, diversity=threshold
    )
    torch.testing.assert_close(layer(x), blended(x, batch_norm, 0.15 if diverse else 0.4))


def test_two_domains_in_a_batch_are_more_diverse_than_one():
    batch_norm = source()
    one = torch.randn(32, C, 4, 4).double() + torch.tensor([4.0, 0, 0, 0])[:, None, None]
    two = one.clone()
    two[16:] -= torch.tensor([8.0, 0, 0, 0])[:, None, None]
    assert angles(two, batch_norm.running_mean) > 1.2 > 0.4 > angles(one, batch_norm.running_mean)
