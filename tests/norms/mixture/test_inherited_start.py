"""Components that start together on a BatchNorm's statistics, and part on the first batch."""

import copy

import pytest
import torch
from torch import nn

from dacbn.norms import UCBNorm, norms

MEAN, VAR = torch.tensor([1.0, -2.0, 0.5]), torch.tensor([4.0, 0.25, 1.0])
ASSIGN = ["channel", "position", "sample"]
UPDATES = ["em", "learned", "hybrid"]
LAYERS = [f"ucb_norm update={update} assign={assign}" for update in UPDATES for assign in ASSIGN]
LAYERS += [f"frozen_gate_norm assign={assign}" for assign in ASSIGN]
LAYERS += ["mixture_norm", "uan"]


def inherited(text, **options):
    name, *words = text.split()
    theirs = nn.BatchNorm2d(3, eps=1e-3)
    theirs.running_mean.copy_(MEAN), theirs.running_var.copy_(VAR)
    given = dict(word.split("=") for word in words)
    return norms[name].from_batch_norm(theirs, num_clusters=2, **given, **options)


def two_kinds(samples=40):
    """Draw images of two kinds, (N, 3, 6, 6), around inherited statistics."""
    kind = torch.arange(samples) % 2
    shift = torch.where(kind == 1, 1.0, -1.0)[:, None, None, None]
    noise = torch.randn(samples, 3, 6, 6)
    return (0.9 * shift + 0.4 * noise) * VAR.sqrt()[:, None, None] + MEAN[:, None, None], kind


@pytest.mark.parametrize("text", LAYERS)
def test_they_are_equal_until_the_first_batch_in_training_parts_them(text):
    layer, (x, _) = inherited(text), two_kinds()
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    layer.eval()(x)
    assert all(torch.equal(value, before[name]) for name, value in layer.state_dict().items())
    assert torch.equal(layer.mixture().mean[0], layer.mixture().mean[1])
    layer.train()(x)
    apart = (layer.mixture().mean[0] - layer.mixture().mean[1]).abs() / VAR.sqrt()
    assert apart.min() > 0.005 and apart.max() < 1  # by momentum, not all the way
    torch.testing.assert_close(
        layer.mixture().mean.mean(0).float(), MEAN, atol=0.3 * VAR.sqrt().max().item(), rtol=0
    )
    assert layer(x).isfinite().all()


@pytest.mark.parametrize("assign", ["position", "sample"])
def test_they_find_the_two_kinds_of_the_data(assign):
    layer = inherited(f"ucb_norm assign={assign}")
    for _ in range(80):
        layer(two_kinds()[0])
    x, kind = two_kinds()
    found = layer.assignments(x.flatten(2)).mean((2, 3)).argmax(0)
    agreement = (found == kind).float().mean()
    assert max(agreement, 1 - agreement) > 0.99
    centres = layer.mixture().mean.float().sort(0).values
    expected = MEAN + torch.tensor([[-0.9], [0.9]]) * VAR.sqrt()
    torch.testing.assert_close(centres, expected, atol=0.05, rtol=0.05)


def test_a_batch_smaller_than_the_components_parts_nothing():
    layer = inherited("ucb_norm assign=sample")
    layer(two_kinds()[0][:1])
    assert torch.equal(layer.running.mean[0], layer.running.mean[1])
    layer(two_kinds()[0])
    assert not torch.equal(layer.running.mean[0], layer.running.mean[1])


def test_an_untrained_batch_norm_leaves_the_start_to_the_first_batch():
    fresh, converted = UCBNorm(3, 2), UCBNorm.from_batch_norm(nn.BatchNorm2d(3), num_clusters=2)
    x = two_kinds()[0]
    assert torch.equal(fresh(x), converted(x))


def test_the_waiting_components_are_saved_and_come_back():
    layer, again = inherited("ucb_norm assign=sample"), UCBNorm(3, 2, eps=1e-3, assign="sample")
    again.load_state_dict(layer.state_dict())
    x = two_kinds()[0]
    assert torch.equal(again(x), layer(x))
    assert torch.equal(copy.deepcopy(again).eval()(x), layer.eval()(x))


def test_a_state_with_components_apart_evaluates_as_it_did():
    """Earlier versions started them a tenth of a standard deviation apart, with a count of 1."""
    apart = torch.stack([MEAN - 0.05 * VAR.sqrt(), MEAN + 0.05 * VAR.sqrt()])
    layer = UCBNorm(3, 2, eps=1e-3)
    state = layer.state_dict()
    state |= {"running.mean": apart, "running.var": VAR.expand(2, 3).clone()}
    state |= {"running.num_batches_tracked": torch.tensor(1)}
    layer.load_state_dict(state)
    x = two_kinds()[0].double()
    density = torch.stack(
        [-((x - m[:, None, None]) ** 2) / (2 * (VAR[:, None, None] + 1e-3)) for m in apart.double()]
    )
    scale = (VAR.double() + 1e-3).sqrt()[:, None, None]
    terms = torch.stack([(x - m[:, None, None]) / scale for m in apart.double()])
    expected = (density.softmax(0) * terms).sum(0)
    torch.testing.assert_close(layer.double().eval()(x), expected, atol=1e-6, rtol=1e-6)
