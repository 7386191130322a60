"""Densities, responsibilities and weighted moments, against scipy and a slow reference."""

import mixture_norm_reference as reference
import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal, norm

from dacbn.norms.mixture.arguments import Affine, Components, Gate, Options
from dacbn.norms.mixture.by_channel import chunked_forward
from dacbn.norms.mixture.moments import (
    evenly_inside_unit,
    log_joint,
    mix,
    moments_before,
    responsibilities,
    weighted_moments,
)

ASSIGNS = ["channel", "position", "sample"]


def mixture(assign, clusters=3, features=2):
    """Return log prior, mean and variance of a random mixture, float64."""
    shares = features if assign == "channel" else 1
    log_prior = torch.randn(clusters, shares, dtype=torch.float64).log_softmax(0)
    mean = torch.randn(clusters, features, dtype=torch.float64)
    return log_prior, mean, torch.rand_like(mean) + 0.3


def draw(*shape):
    return torch.randn(shape, dtype=torch.float64)


def test_log_joint_of_a_value_is_scipys_density():
    x, (log_prior, mean, var) = draw(4, 2, 3), mixture("channel")
    shares, means, stds = (
        value.numpy()[:, None, :, None] for value in (log_prior, mean, var.sqrt())
    )
    wanted = shares + norm.logpdf(x.numpy()[None], means, stds)
    np.testing.assert_allclose(log_joint(x, log_prior, mean, var, "channel"), wanted)


def test_log_joint_of_a_position_is_scipys_density_of_its_channels():
    x, (log_prior, mean, var) = draw(4, 2, 3), mixture("position")
    found = log_joint(x, log_prior, mean, var, "position")
    for k in range(3):
        density = multivariate_normal(mean[k].numpy(), np.diag(var[k].numpy()))
        wanted = density.logpdf(x.transpose(1, 2).numpy()) + log_prior[k, 0].item()
        np.testing.assert_allclose(found[k, :, 0], wanted)


def test_log_joint_of_a_sample_averages_its_positions():
    x, (log_prior, mean, var) = draw(4, 2, 3), mixture("sample")
    positions = log_joint(x, log_prior, mean, var, "position")
    found = log_joint(x, log_prior, mean, var, "sample")
    torch.testing.assert_close(found, positions.mean(3, keepdim=True))


@pytest.mark.parametrize("assign", ASSIGNS)
def test_responsibilities_are_bayes_posterior(assign):
    x, (log_prior, mean, var) = draw(4, 2, 3), mixture(assign)
    wanted = reference.posterior(
        x.numpy(), log_prior.exp().numpy(), mean.numpy(), var.numpy(), assign
    )
    found = responsibilities(x, log_prior, mean, var, assign).expand(3, *x.shape)
    np.testing.assert_allclose(found, wanted)


def test_weighted_moments_are_sums_over_batch_and_positions():
    x, weights = draw(4, 2, 3), draw(3, 4, 2, 3).softmax(0)
    found = weighted_moments(x, weights, torch.zeros(3, 2), torch.ones(3, 2))
    for value, wanted in zip(found, reference.moments(x.numpy(), weights.numpy()), strict=True):
        np.testing.assert_allclose(value, wanted, rtol=1e-4, atol=1e-4)


def test_one_hot_weights_give_the_moments_of_each_group():
    x, ids = draw(10, 2, 3), torch.tensor([0, 1] * 5)
    members = torch.stack([ids == 0, ids == 1]).double()[:, :, None, None]
    share, mean, var = weighted_moments(x, members, torch.zeros(2, 2), torch.ones(2, 2))
    for k in range(2):
        group = x[ids == k]
        torch.testing.assert_close(share[k], torch.tensor([0.5], dtype=torch.float64))
        torch.testing.assert_close(mean[k], group.mean((0, 2)), rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(var[k], group.var((0, 2), correction=0), rtol=1e-5, atol=1e-5)


def test_a_component_without_weight_keeps_its_previous_moments():
    x, weights = draw(4, 2, 3), torch.zeros(1, 4, 2, 3)
    before = torch.tensor([[7.0, -3.0]]), torch.tensor([[0.1, 5.0]])
    share, mean, var = weighted_moments(x, weights, *before)
    assert share.eq(0).all()
    torch.testing.assert_close(mean, before[0].double())
    torch.testing.assert_close(var, before[1].double(), check_dtype=False)


def test_float32_moments_survive_a_mean_far_from_zero():
    x = torch.randn(64, 1, 16) + 1e4
    _, mean, var = weighted_moments(x, torch.ones(1, 64, 1, 1), torch.zeros(1, 1), torch.ones(1, 1))
    exact = x.double()
    torch.testing.assert_close(mean, exact.mean().reshape(1, 1).float(), rtol=1e-6, atol=0)
    torch.testing.assert_close(var, exact.var().reshape(1, 1).float(), rtol=1e-2, atol=0)


@pytest.mark.parametrize("assign", ASSIGNS)
def test_gradients_are_those_of_finite_differences(assign):
    inputs = [value.requires_grad_() for value in (draw(3, 2, 2), *mixture(assign))]

    def normalise(x, log_prior, mean, var):
        weights = responsibilities(x, log_prior, mean, var, assign)
        _, batch_mean, batch_var = weighted_moments(x, weights, mean.detach(), var.detach())
        return mix(x, weights, batch_mean, batch_var), log_joint(x, log_prior, mean, var, assign)

    assert torch.autograd.gradcheck(normalise, inputs)


@pytest.mark.parametrize(("count", "wanted"), [(1, [0.5]), (2, [0.25, 0.75])])
def test_points_are_evenly_spaced_inside_the_unit_interval(count, wanted):
    assert evenly_inside_unit(count, torch.zeros(1)).tolist() == wanted


def test_the_moments_before_a_batch_are_found_again():
    x, gate, (_, *before) = draw(4, 2, 3), Gate(*mixture("channel")), mixture("channel")
    gate.mean[2] += 20  # next to no value is of this component
    options = Options(1e-5, from_batch=True)
    _, table = chunked_forward(x, gate, Components(*before), Affine(), options)
    found = moments_before(x, responsibilities(x, *gate, "channel"), table)
    for one, other in zip(found, before, strict=True):
        torch.testing.assert_close(one, other)
