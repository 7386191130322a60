"""Lines of samples by hand, and their gradients, are those of the formulas of `by_sample`."""

import pytest
import torch

from dacbn.norms.mixture.arguments import Affine, Components, Gate
from dacbn.norms.mixture.by_sample import line_of_samples, pool_samples, sample_log_joint
from dacbn.norms.mixture.sample_lines import has_constants, lines_by_moments

LENGTH, EPS = 11, 1e-5
ERRORS = {torch.float64: 1e-12, torch.float32: 2e-5}


def draw(kind, affine=True, scaled=False, seed=0):
    """Draw moments of samples far from zero, a mixture and an affine map."""
    random = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(shape, generator=random, dtype=torch.float64).to(kind)

    gate = Gate(normal(3, 1).log_softmax(0), 9 + normal(3, 5), normal(3, 5).square() + 0.5)
    scale = normal(3, 1).exp().requires_grad_() if scaled else None
    components = Components(9 + normal(3, 5), normal(3, 5).square() + 0.5, scale)
    maps = Affine(*(normal(5).requires_grad_() for _ in range(2))) if affine else Affine()
    mean, var = (9 + normal(7, 5)).requires_grad_(), (normal(7, 5).square() + 0.2).requires_grad_()
    return mean, var, gate, components, maps, (normal(7, 5), normal(7, 5))


def by_formulas(mean, var, length, gate, components, maps, eps):
    weights = sample_log_joint(mean, var, gate).softmax(0)
    share, *found = pool_samples(mean, var, length, weights, *components[:2])
    standard = Components(found[0], found[1] + eps, components.scale)
    return *line_of_samples(weights, standard, maps), share, *found


def learned(mean, var, components, maps):
    return [each for each in (mean, var, components.scale, *maps) if each is not None]


@pytest.mark.parametrize("kind", [torch.float64, torch.float32])
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("scaled", [True, False])
def test_lines_moments_and_gradients_are_those_of_the_formulas(kind, affine, scaled):
    mean, var, gate, components, maps, outer = draw(kind, affine, scaled)
    results = []
    for compute in (lines_by_moments, by_formulas):
        found = compute(mean, var, LENGTH, gate, components, maps, EPS)
        wanted = learned(mean, var, components, maps)
        results.append([*found, *torch.autograd.grad(found[:2], wanted, outer)])
    for one, other in zip(*results, strict=True):
        assert one.dtype is kind
        torch.testing.assert_close(one, other, rtol=ERRORS[kind], atol=ERRORS[kind])


def test_gradients_can_be_differentiated():
    mean, var, gate, components, maps, outer = draw(torch.float64, scaled=True)
    wanted, results = learned(mean, var, components, maps), []
    for compute in (lines_by_moments, by_formulas):
        found = compute(mean, var, LENGTH, gate, components, maps, EPS)
        first = torch.autograd.grad(found[:2], wanted, outer, create_graph=True)
        results.append(torch.autograd.grad(sum(each.square().sum() for each in first), wanted[:4]))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other)


def test_moments_that_move_later_change_no_gradient():
    mean, var, gate, components, maps, outer = draw(torch.float64)
    gradients = []
    for moved in (False, True):
        gate = Gate(*(each.clone() for each in gate))
        found = lines_by_moments(mean, var, LENGTH, gate, components, maps, EPS)
        if moved:
            gate.mean.add_(5)
        gradients.append(torch.autograd.grad(found[:2], (mean, var), outer))
    assert all(torch.equal(one, other) for one, other in zip(*gradients, strict=True))


def test_a_component_without_samples_keeps_its_moments():
    mean, var, gate, components, maps, _ = draw(torch.float64)
    gate = gate._replace(log_prior=torch.tensor([[0.0], [0.0], [-1e9]], dtype=torch.float64))
    _, _, share, *found = lines_by_moments(mean, var, LENGTH, gate, components, maps, EPS)
    assert share[2] == 0
    for one, before in zip(found, components[:2], strict=True):
        torch.testing.assert_close(one[2], before[2])


def test_a_learned_gate_is_none_of_constants():
    mean, _, gate, components, *_ = draw(torch.float64)
    assert has_constants(gate, components, mean)
    assert not has_constants(gate._replace(mean=gate.mean.requires_grad_()), components, mean)
