"""Batch-instance, IBN and switchable normalisation: mixtures with BatchNorm."""

import numpy as np
import pytest
import sample_norm_reference as reference
import torch
from torch import nn

from dacbn.norms import BatchInstanceNorm, BatchNorm, IBNNorm, InstanceNorm, SwitchableNorm

EPS, MOMENTUM = 0.01, 0.3
KINDS = [BatchInstanceNorm, IBNNorm, SwitchableNorm]
GATE = torch.tensor([1.0, 0.0, 0.3, 0.8, 0.5])
LOGITS = [0.5, -1.0, 0.2], [0.0, 1.5, -0.7]


def planted(*shape):
    """Return x (N, 5, *) whose samples and channels all differ."""
    end = [1] * (len(shape) - 2)
    scale = torch.rand(shape[0], shape[1]).reshape(*shape[:2], *end) * 3 + 0.2
    return torch.randn(shape) * scale + torch.randn(shape[1]).reshape(-1, *end) * 4


def made(kind):
    layer = kind(5, eps=EPS, momentum=MOMENTUM)
    with torch.no_grad():
        if kind is BatchInstanceNorm:
            layer.gate.copy_(GATE)
        if kind is SwitchableNorm:
            layer.mean_logits.copy_(torch.tensor(LOGITS[0]))
            layer.var_logits.copy_(torch.tensor(LOGITS[1]))
    return layer


def wanted(kind, x, mean, var):
    if kind is SwitchableNorm:
        return reference.switched(x, *map(np.array, LOGITS), mean, var, EPS)
    batch = reference.by_statistics(x, mean, var, EPS)
    instance = reference.over_groups(x, 5, EPS)
    by_batch = np.array([0, 0, 1, 1, 1]) if kind is IBNNorm else GATE.double().numpy()
    return by_batch[:, None] * batch + (1 - by_batch[:, None]) * instance


def running(layer):
    return tuple(value.numpy() for value in getattr(layer, "batch", layer).running_moments())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("positions", [(4,), (3, 2)])
def test_outputs_and_statistics_follow_the_equations(kind, positions):
    layer, batches = made(kind), [planted(4, 5, *positions) for _ in range(3)]
    flat = [x.flatten(2).double().numpy() for x in batches]
    for x, values in zip(batches, flat, strict=True):
        y = wanted(kind, values, *reference.batch_moments(values))
        np.testing.assert_allclose(layer(x).flatten(2).detach(), y, rtol=1e-3, atol=1e-4)
    mean, var = reference.followed(flat, MOMENTUM)
    skipped = 2 if kind is IBNNorm else 0
    np.testing.assert_allclose(running(layer)[0], mean[skipped:], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(running(layer)[1], var[skipped:], rtol=1e-4)
    found = layer.eval()(batches[0]).flatten(2).detach()
    np.testing.assert_allclose(found, wanted(kind, flat[0], mean, var), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("training", [True, False])
def test_gradients_are_exact(kind, training):
    layer = made(kind).double()
    if kind is BatchInstanceNorm:
        nn.init.constant_(layer.gate, 0.4)
    layer(planted(6, 5, 3).double())
    layer.train(training)
    x = planted(3, 5, 3).double().requires_grad_()
    parameters = tuple(layer.parameters())
    assert torch.autograd.gradcheck(lambda x, *_: layer(x), (x, *parameters), fast_mode=True)


@pytest.mark.parametrize("training", [True, False])
def test_batch_instance_norm_goes_from_one_to_the_other(training):
    layer, x = BatchInstanceNorm(5), planted(6, 5, 4)
    batch = BatchNorm(5)
    for each in (layer, batch):
        each(x * 2 + 1)
    torch.testing.assert_close(layer.train(training)(x), batch.train(training)(x))
    nn.init.zeros_(layer.gate)
    torch.testing.assert_close(layer(x), InstanceNorm(5)(x))


def test_a_gate_pushed_out_comes_back_at_once():
    layer, x = BatchInstanceNorm(5), planted(6, 5, 4)
    nn.init.constant_(layer.gate, 1.7)
    twice = layer(x).square().sum() + (layer(x) ** 3).sum()
    assert torch.equal(layer.gate, torch.ones(5))
    twice.backward()
    assert layer.gate.grad.abs().min() > 0
    nn.init.constant_(layer.gate, -0.4)
    layer.eval()
    torch.testing.assert_close(layer(x), InstanceNorm(5)(x))
    assert layer.gate.eq(-0.4).all()


def test_gates_learn_to_leave_a_style_behind():
    """The contrast of an image says nothing, its pattern everything: instance should win."""
    layer, sign = BatchInstanceNorm(1), torch.randint(0, 2, (64, 1)) * 2.0 - 1
    pattern = sign[:, None] * torch.linspace(-1, 1, 8)
    x = pattern * torch.exp(1.5 * torch.randn(64, 1, 1))
    optimiser = torch.optim.SGD(layer.parameters(), 0.05)
    for _ in range(60):
        optimiser.zero_grad()
        (layer(x) - pattern).square().mean().backward()
        optimiser.step()
    assert layer.gate.item() < 0.1


def test_single_values_are_normalised_by_the_batch():
    layer, x = BatchInstanceNorm(5), torch.randn(8, 5) * 3 + 2
    nn.init.constant_(layer.gate, 0.3)
    torch.testing.assert_close(layer(x), BatchNorm(5)(x))
    y = IBNNorm(5)(x)
    torch.testing.assert_close(y[:, :2], x[:, :2])
    torch.testing.assert_close(y[:, 2:], BatchNorm(3)(x[:, 2:]))


@pytest.mark.parametrize(("ratio", "kind"), [(0, BatchNorm), (1, InstanceNorm)])
@pytest.mark.parametrize("training", [True, False])
def test_at_its_ends_ibn_is_one_of_the_two(ratio, kind, training):
    ours, other, x = IBNNorm(5, ratio), kind(5), planted(6, 5, 4)
    for each in (ours, other):
        each(x * 2 + 1)
    torch.testing.assert_close(ours.train(training)(x), other.train(training)(x))


@pytest.mark.parametrize("ratio", [-0.1, 1.5, "half"])
def test_a_ratio_that_is_none_raises(ratio):
    with pytest.raises(ValueError, match=r"ratio of ibn_norm must be (in \[0, 1\]|a number), got"):
        IBNNorm(4, ratio)


@pytest.mark.parametrize(("place", "groups"), [(0, 5), (1, 1), (2, None)])
@pytest.mark.parametrize("training", [True, False])
def test_switched_to_one_of_the_three_it_is_that_one(place, groups, training):
    layer, x = SwitchableNorm(5), planted(6, 5, 4)
    other = BatchNorm(5) if groups is None else nn.GroupNorm(groups, 5)
    for each in (layer, other):
        each(x * 2 + 1)
    with torch.no_grad():
        for logits in (layer.mean_logits, layer.var_logits):
            logits[place] = 100
    torch.testing.assert_close(layer.train(training)(x), other.train(training)(x))


@pytest.mark.parametrize("kind", KINDS)
def test_a_trained_batch_norm_lends_its_statistics(kind):
    theirs = nn.BatchNorm1d(5)
    theirs(planted(30, 5) + 3)
    mean, var = running(kind.from_batch_norm(theirs))
    np.testing.assert_array_equal(mean, theirs.running_mean[-len(mean) :])
    np.testing.assert_array_equal(var, theirs.running_var[-len(var) :])
    assert len(mean) == (3 if kind is IBNNorm else 5)
