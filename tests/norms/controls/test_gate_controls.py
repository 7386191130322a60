"""Controls of mixtures do what they say: chance assigns, or a first batch for ever."""

import copy

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from dacbn.norms import FrozenGateNorm, MatchedBatchNorm, RandomGateNorm, UCBNorm
from dacbn.norms.controls.scramble import hash_to_int

ASSIGN = ["channel", "position", "sample"]
SHARED = {"channel": (8, 4, 5), "position": (8, 1, 5), "sample": (8, 1, 1)}


def two_modes(count=600):
    """Draw one channel of two modes, and say which each value is of."""
    mode = torch.arange(count) % 2
    return (torch.randn(count) + 8.0 * mode)[:, None], mode


@pytest.mark.parametrize("bound", [2, 3, 7])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_draws_are_uniform_and_unrelated_to_the_values(bound, dtype):
    values = torch.linspace(-3, 3, 20000, dtype=dtype)
    numbers = hash_to_int(values, bound).numpy()
    assert chisquare(np.bincount(numbers, minlength=bound)).pvalue > 1e-3
    assert abs(np.corrcoef(numbers, values)[0, 1]) < 0.03
    assert abs(np.corrcoef(numbers[1:], numbers[:-1])[0, 1]) < 0.03


def test_a_value_draws_the_same_wherever_it_stands():
    values, order = torch.randn(6, 4, 5), torch.randperm(6)
    assert torch.equal(hash_to_int(values[order], 3), hash_to_int(values, 3)[order])
    together = hash_to_int(values, 3, (1, 2))
    assert torch.equal(hash_to_int(values.flip(1, 2), 3, (1, 2)), together)
    assert hash_to_int(torch.randn(4000, 3, 2), 2, (1, 2)).double().mean() == pytest.approx(
        0.5, abs=0.04
    )


@pytest.mark.parametrize("assign", ASSIGN)
def test_random_gates_take_each_thing_to_one_group(assign):
    weights = RandomGateNorm(4, assign=assign).assignments(torch.randn(8, 4, 5))
    assert weights.shape == (3, *SHARED[assign])
    assert torch.equal(weights.sum(0), torch.ones(SHARED[assign]))
    assert set(weights.unique().tolist()) == {0.0, 1.0}


def test_random_gates_are_blind_to_clusters_that_ucb_norm_finds():
    x, mode = two_modes()
    blind, seeing = RandomGateNorm(1, num_clusters=2), UCBNorm(1, num_clusters=2)
    for _ in range(30):
        blind(x), seeing(x)

    def agreement(layer):
        first = layer.assignments(x[..., None])[0].flatten()
        return abs(np.corrcoef(first.detach(), mode)[0, 1])

    assert agreement(seeing) > 0.95 and agreement(blind) < 0.15
    # groups drawn by chance all lie where the data do
    torch.testing.assert_close(blind.running.mean, x.mean().expand(2, 1), atol=1.0, rtol=0)


def test_groups_of_a_random_gate_are_standardised_by_their_own_moments():
    layer, x = RandomGateNorm(2, num_clusters=3, affine=False), torch.randn(50, 2, 4) * 3 + 5
    weights, y = layer.assignments(x), layer(x)
    for channel in range(2):
        for group in range(3):
            members = weights[group, :, channel] == 1
            values = x[:, channel][members].double()
            expected = (values - values.mean()) / (values.var(correction=0) + 1e-5).sqrt()
            torch.testing.assert_close(
                y[:, channel][members], expected.float(), atol=1e-4, rtol=1e-4
            )


@pytest.mark.parametrize("kind", [RandomGateNorm, FrozenGateNorm, MatchedBatchNorm])
@pytest.mark.parametrize("training", [True, False])
def test_one_cluster_is_batch_norm(kind, training):
    ours, theirs = kind(4, num_clusters=1), torch.nn.BatchNorm1d(4)
    for _ in range(3):
        x = torch.randn(16, 4, 3) * 2 + 1
        ours(x), theirs(x)
    x = torch.randn(16, 4, 3)
    torch.testing.assert_close(
        ours.train(training)(x), theirs.train(training)(x), atol=1e-4, rtol=1e-4
    )


@pytest.mark.parametrize("assign", ASSIGN)
def test_a_frozen_gate_stays_while_the_moments_follow(assign):
    layer = FrozenGateNorm(4, assign=assign)
    layer(torch.randn(32, 4, 5))
    before = {name: value.clone() for name, value in layer.gate.named_buffers()}
    moments, probe = layer.running.mean.clone(), torch.randn(8, 4, 5)
    responsibilities = layer.assignments(probe)
    for _ in range(5):
        layer(torch.randn(32, 4, 5) * 2 + 3)
    assert all(torch.equal(value, before[name]) for name, value in layer.gate.named_buffers())
    assert torch.equal(layer.assignments(probe), responsibilities)
    assert (layer.running.mean - moments).abs().min() > 0


@pytest.mark.parametrize("assign", ASSIGN)
def test_the_first_batch_is_as_ucb_norm_has_it(assign):
    """Its gate is not frozen yet, so that the two differ in nothing else."""
    frozen, free = FrozenGateNorm(4, assign=assign), UCBNorm(4, assign=assign)
    x = torch.randn(32, 4, 5) * 2 + 1
    torch.testing.assert_close(frozen(x), free(x), atol=1e-4, rtol=1e-4)
    for name, value in free.running.named_buffers():
        torch.testing.assert_close(getattr(frozen.running, name), value, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(frozen(x + 4), free(x + 4), atol=1e-2)


@pytest.mark.parametrize("num_clusters", [1, 3])
def test_a_matched_batch_norm_learns_as_many_numbers_as_a_mixture(num_clusters):
    def numbers(layer):
        return sum(parameter.numel() for parameter in layer.parameters())

    mixture = UCBNorm(6, num_clusters, update="learned")
    assert numbers(MatchedBatchNorm(6, num_clusters)) == numbers(mixture)


def test_the_bends_are_those_of_the_equation_and_are_learned():
    layer, x = MatchedBatchNorm(2, num_clusters=2, affine=False), torch.randn(30, 2) * 3 + 1
    with torch.no_grad():
        layer.height.copy_(torch.tensor([[0.5, -1.0], [2.0, 0.1]]))
    z = (x - x.mean(0)) / (x.var(0, correction=0) + 1e-5).sqrt()
    bends = sum(
        layer.height[k] * torch.tanh(layer.slope[k] * (z - layer.place[k])) for k in range(2)
    )
    torch.testing.assert_close(layer(x), z + bends, atol=1e-5, rtol=1e-5)
    layer(x).square().sum().backward()
    for parameter in layer.parameters():
        assert parameter.grad.abs().min() > 0


@pytest.mark.parametrize("kind", [RandomGateNorm, FrozenGateNorm])
def test_an_unknown_assignment_is_refused(kind):
    with pytest.raises(
        ValueError, match=r"assign of .*_gate_norm must be one of channel, position, sample, got"
    ):
        kind(4, assign="image")


def test_a_copy_of_a_frozen_gate_is_frozen_at_the_same_place():
    layer = FrozenGateNorm(4)
    layer(torch.randn(32, 4))
    twin = copy.deepcopy(layer)
    twin(torch.randn(32, 4) + 5)
    assert torch.equal(twin.gate.mean, layer.gate.mean)
