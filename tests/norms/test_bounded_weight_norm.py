"""Weights of bounded length."""

import numpy as np
import pytest
import torch
import weight_map_reference as reference
from torch import nn
from torch.nn.utils import parametrize

from dacbn.norms import BoundedWeightNorm

SHAPES = [(5, 3), (5, 3, 4), (5, 3, 2, 2), (4, 1, 3, 3)]


def bounded_linear():
    """Return a linear layer with bounded weights."""
    layer = nn.Linear(4, 3, bias=False)
    parametrize.register_parametrization(layer, "weight", BoundedWeightNorm(layer.weight))
    return layer


@pytest.mark.parametrize("shape", SHAPES)
def test_weights_follow_the_equation(shape):
    start = torch.randn(shape, dtype=torch.float64)
    layer = BoundedWeightNorm(start)
    length = np.mean(reference.lengths(start.numpy()))
    for weight in (start, torch.randn(shape, dtype=torch.float64) * 7):
        np.testing.assert_allclose(
            layer(weight), reference.bounded(weight.numpy(), length), rtol=1e-9
        )


def test_gradients_are_those_of_the_output():
    weight = torch.randn(3, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(BoundedWeightNorm(weight), weight)


def test_training_turns_the_filters_and_leaves_their_length():
    layer = bounded_linear()
    before = layer.weight.detach().clone()
    optimiser = torch.optim.SGD(layer.parameters(), 0.3)
    for _ in range(20):
        optimiser.zero_grad()
        layer(torch.randn(16, 4)).sub(2).square().mean().backward()
        optimiser.step()
    after = layer.weight.detach()
    torch.testing.assert_close(after.norm(dim=1), before.norm(dim=1))
    assert torch.cosine_similarity(after, before).max() < 0.99
    free = layer.parametrizations.weight.original
    assert (free.norm(dim=1) > after.norm(dim=1)).any()  # what learns has no bound, as documented


def test_weight_decay_changes_nothing_but_the_free_weight():
    layer = bounded_linear()
    before = layer.weight.detach().clone()
    with torch.no_grad():
        layer.parametrizations.weight.original.mul_(0.1)
    torch.testing.assert_close(layer.weight, before)


def test_a_loaded_layer_has_the_length_of_the_saved_one():
    saved, loaded = bounded_linear(), bounded_linear()
    assert not torch.equal(saved.weight, loaded.weight)
    loaded.load_state_dict(saved.state_dict())
    assert torch.equal(saved.weight, loaded.weight)


def test_a_filter_of_zeros_gives_no_nan():
    weight = torch.randn(3, 4)
    weight[1] = 0
    weight.requires_grad_()
    out = BoundedWeightNorm(weight)(weight)
    out.sum().backward()
    assert not out[1].any() and out.isfinite().all() and weight.grad.isfinite().all()
