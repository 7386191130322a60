"""Mixtures of positions by matrix products agree with the general formulas, gradients included."""

import pytest
import torch

from dacbn.norms.mixture.arguments import Affine, Components, Gate
from dacbn.norms.mixture.by_position import (
    as_one_sample,
    mix_positions,
    pool_positions,
    position_log_joint,
    shape_back,
)
from dacbn.norms.mixture.moments import log_joint, mix, per_component, weighted_moments

SHAPES = [(3, 4, 5), (1, 3, 40), (700, 2, 300)]


def draw(shape, clusters):
    """Draw activations of two populations, a mixture, and a mixture before the batch."""
    random = torch.Generator().manual_seed(0)

    def normal(*size):
        return torch.randn(*size, generator=random, dtype=torch.float64)

    x = normal(*shape) + 2 * (normal(shape[0], 1, shape[2]) > 0)
    gate = Gate(normal(clusters, 1), normal(clusters, shape[1]), normal(clusters, shape[1]).exp())
    return x, gate, (normal(clusters, shape[1]), normal(clusters, shape[1]).exp())


def as_weights(r):
    return r.transpose(0, 1)[:, :, None]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("clusters", [1, 2, 4])
def test_each_operation_is_that_of_the_definition(shape, clusters):
    x, gate, before = draw(shape, clusters)
    joint = position_log_joint(x, gate)
    torch.testing.assert_close(as_weights(joint), log_joint(x, *gate, "position"))
    r = joint.softmax(1)
    moments = pool_positions(x, r, *before)
    for found, expected in zip(moments, weighted_moments(x, as_weights(r), *before), strict=True):
        torch.testing.assert_close(found, expected)
    scale, (weight, bias) = gate.log_prior.exp(), torch.randn(2, shape[1], dtype=torch.float64)
    components = Components(*moments[1:], scale)
    expected = mix(x, as_weights(r) * per_component(scale), *moments[1:])
    torch.testing.assert_close(mix_positions(x, r, components, Affine()), expected)
    expected = expected * weight[:, None] + bias[:, None]
    found = mix_positions(x, r, components, Affine(weight, bias))
    torch.testing.assert_close(found, expected)


def test_gradients_are_those_of_finite_differences():
    x, gate, before = draw((2, 3, 4), 2)
    inputs = [tensor.requires_grad_() for tensor in (x, *gate)]
    assert torch.autograd.gradcheck(lambda x, *gate: position_log_joint(x, Gate(*gate)), inputs)
    r = position_log_joint(x, gate).softmax(1).detach().requires_grad_()
    assert torch.autograd.gradcheck(lambda *both: pool_positions(*both, *before), (x, r))
    factors = [torch.randn(3, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    tables = [tensor.requires_grad_() for tensor in (*before, gate.log_prior.detach().exp())]

    def mixed(x, r, mean, var, scale, weight, bias):
        return mix_positions(x, r, Components(mean, var, scale), Affine(weight, bias))

    assert torch.autograd.gradcheck(mixed, (x, r, *tables, *factors))


def test_a_component_without_positions_keeps_its_previous_moments():
    x, _, (mean, var) = draw((3, 4, 5), 2)
    r = torch.tensor([0.0, 1.0], dtype=torch.float64)[:, None].expand(3, 2, 5)
    share, found_mean, found_var = pool_positions(x, r, mean, var)
    assert share.flatten().tolist() == [0, 1]
    torch.testing.assert_close(found_mean[0], mean[0])
    torch.testing.assert_close(found_var[0], var[0])


def test_running_moments_may_change_before_the_gradient_is_taken():
    x, gate, _ = draw((3, 4, 5), 2)
    x.requires_grad_()
    r = position_log_joint(x, gate).softmax(1)
    weight = torch.ones(4, dtype=torch.float64, requires_grad=True)
    y = mix_positions(x, r, Components(gate.mean, gate.var), Affine(weight, weight))
    gate.mean.add_(1)
    y.sum().backward()
    assert x.grad.isfinite().all()


@pytest.mark.parametrize(
    ("shape", "seen"),
    [((6, 3, 1), (1, 3, 6)), ((1, 3, 6), (1, 3, 6)), ((2, 3, 4), (2, 3, 4)), ((1, 3, 1),) * 2],
)
def test_samples_of_one_position_become_positions_of_one_sample_and_back(shape, seen):
    x = torch.randn(shape)
    assert as_one_sample(x).shape == seen
    assert torch.equal(shape_back(as_one_sample(x), x), x)
