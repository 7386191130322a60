"""Mixtures of samples, computed from their moments, agree with the general formulas."""

import pytest
import torch

from dacbn.norms.mixture.arguments import Affine, Components, Gate
from dacbn.norms.mixture.by_sample import (
    mix_samples,
    pool_samples,
    sample_log_joint,
    sample_moments,
)
from dacbn.norms.mixture.moments import log_joint, mix, per_component, weighted_moments

SHAPES = [(6, 5, 7), (6, 5, 1), (1, 3, 16), (40, 2, 300)]


def draw(shape, clusters, dtype=torch.float64, seed=0):
    """Draw activations of two populations, and the log prior, means and variances of a mixture."""
    random = torch.Generator().manual_seed(seed)
    x = torch.randn(shape, generator=random, dtype=torch.float64)
    x = x * 2 + 3 * (torch.arange(shape[0]) % 2)[:, None, None] + torch.arange(shape[1])[:, None]
    log_prior = torch.randn(clusters, 1, generator=random, dtype=torch.float64).log_softmax(0)
    mean = torch.randn(clusters, shape[1], generator=random, dtype=torch.float64)
    var = 0.2 + torch.rand(clusters, shape[1], generator=random, dtype=torch.float64)
    return [tensor.to(dtype) for tensor in (x, log_prior, mean, var)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("layout", ["contiguous", "channels last"])
def test_moments_of_samples_are_means_and_variances_over_positions(shape, layout):
    x = draw(shape, 1)[0]
    if layout == "channels last":
        x = x.transpose(1, 2).contiguous().transpose(1, 2)
    mean, var = sample_moments(x)
    torch.testing.assert_close(mean, x.mean(2))
    torch.testing.assert_close(var, x.var(2, correction=0))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("clusters", [1, 2, 5])
def test_the_joint_density_is_that_of_all_positions(shape, clusters):
    x, *gate = draw(shape, clusters)
    found = sample_log_joint(*sample_moments(x), Gate(*gate))
    torch.testing.assert_close(found, log_joint(x, *gate, "sample")[..., 0, 0])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("clusters", [1, 2, 5])
def test_pooled_moments_are_the_weighted_moments(shape, clusters):
    x, _, mean, var = draw(shape, clusters)
    weights = torch.rand(clusters, shape[0], dtype=torch.float64).softmax(0)
    weights[0] = 0  # a component without samples keeps its previous moments
    weights = weights / weights.sum(0) if clusters > 1 else torch.ones_like(weights)
    found = pool_samples(*sample_moments(x), shape[2], weights, mean, var)
    expected = weighted_moments(x, weights[..., None, None], mean, var)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_mixed_output_is_the_mean_of_the_standardised(shape):
    x, _, mean, var = draw(shape, 3)
    weights = torch.rand(3, shape[0], dtype=torch.float64)
    weight, bias = torch.randn(2, shape[1], dtype=torch.float64)
    expected = mix(x, weights[..., None, None], mean, var)
    found = mix_samples(x, weights, Components(mean, var), Affine())
    torch.testing.assert_close(found, expected)
    scale = torch.rand(3, 1, dtype=torch.float64)
    expected = mix(x, weights[..., None, None] * per_component(scale), mean, var)
    expected = expected * weight[:, None] + bias[:, None]
    found = mix_samples(x, weights, Components(mean, var, scale), Affine(weight, bias))
    torch.testing.assert_close(found, expected)


def test_gradients_of_the_moments_are_right():
    x = draw((3, 2, 5), 1)[0].requires_grad_()
    assert torch.autograd.gradcheck(sample_moments, x)


def test_moments_far_from_zero_keep_float32_accuracy():
    x = torch.randn(8, 4, 1000, dtype=torch.float64) + 1e3
    _, var = sample_moments(x.float())
    torch.testing.assert_close(
        var.double(), x.float().double().var(2, correction=0), rtol=1e-4, atol=0
    )


def test_constant_samples_have_variance_zero_and_a_finite_gradient():
    x = torch.full((2, 3, 4), 7.0, requires_grad=True)
    mean, var = sample_moments(x)
    assert (mean == 7).all() and (var == 0).all()
    (mean.sum() + var.sum()).backward()
    assert torch.allclose(x.grad, torch.tensor(1 / 4))


def test_no_samples_have_no_moments():
    mean, var = sample_moments(torch.zeros(0, 3, 4))
    assert mean.shape == var.shape == (0, 3)
