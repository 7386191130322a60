"""Batch normalisation that leaves the scale."""

import mean_only_batch_norm_reference as reference
import numpy as np
import pytest
import torch
from torch import nn

from dacbn.norms import MeanOnlyBatchNorm, recalibrate


@pytest.mark.parametrize("shape", [(8, 3), (6, 3, 5), (4, 3, 2, 3)])
def test_outputs_and_the_running_mean_follow_the_equation(shape):
    layer, mean = MeanOnlyBatchNorm(3, momentum=0.3).double(), 0.0
    for _ in range(3):
        x = 4 * torch.randn(shape, dtype=torch.float64) + 2
        found, values = layer(x), x.reshape(len(x), 3, -1).numpy()
        of_batch = reference.means(values)
        mean = 0.7 * mean + 0.3 * of_batch
        wanted = reference.centred(values, of_batch).reshape(shape)
        np.testing.assert_allclose(found.detach(), wanted, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(layer.running_mean, mean, rtol=1e-9)
    wanted = reference.centred(values, mean).reshape(shape)
    np.testing.assert_allclose(layer.eval()(x).detach(), wanted, rtol=1e-9, atol=1e-9)


def test_the_mean_goes_and_the_scale_stays():
    x = torch.randn(50, 3, 4) * torch.tensor([[0.1], [1.0], [20.0]]) + 7
    y = MeanOnlyBatchNorm(3)(x)
    assert y.mean((0, 2)).abs().max() < 1e-4
    torch.testing.assert_close(y.std((0, 2)), x.std((0, 2)))


def test_its_gradient_is_centred():
    x = torch.randn(8, 3, 5, requires_grad=True)
    slope = torch.randn(8, 3, 5)
    (gradient,) = torch.autograd.grad((MeanOnlyBatchNorm(3)(x) * slope).sum(), x)
    torch.testing.assert_close(gradient, slope - slope.mean((0, 2), keepdim=True))


def test_gradients_are_those_of_the_output():
    layer = MeanOnlyBatchNorm(2).double()
    x = torch.randn(4, 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, x)


def test_a_trained_batch_norm_keeps_its_function():
    theirs = nn.BatchNorm2d(4, eps=0.1)
    for _ in range(20):
        theirs(torch.randn(8, 4, 3, 3) * 3 + 5)
    nn.init.normal_(theirs.weight), nn.init.normal_(theirs.bias)
    ours = MeanOnlyBatchNorm.from_batch_norm(theirs.eval())
    x = torch.randn(8, 4, 3, 3) * 3 + 5
    torch.testing.assert_close(ours(x), theirs(x))


def test_a_residual_branch_that_starts_at_zero_stays_there():
    theirs = nn.BatchNorm1d(4)
    theirs(torch.randn(8, 4) * 3)
    nn.init.zeros_(theirs.weight)
    assert not MeanOnlyBatchNorm.from_batch_norm(theirs).weight.any()


def test_a_single_value_is_centred_by_what_is_known_and_teaches_nothing():
    layer = MeanOnlyBatchNorm(3)
    layer(torch.randn(20, 3) + 2)
    mean, x = layer.running_mean.clone(), torch.randn(1, 3)
    torch.testing.assert_close(layer(x), x - mean)
    assert torch.equal(layer.running_mean, mean)


def test_recalibration_finds_the_mean_of_the_images():
    layer, images = MeanOnlyBatchNorm(2), torch.randn(40, 2) + 30
    layer(images * 9)
    recalibrate(layer, images, batch_size=10)
    torch.testing.assert_close(layer.running_mean, images.mean(0))
