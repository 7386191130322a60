"""What holds for every norm that follows a stream."""

import copy

import pytest
import torch
from norm_cases import trained
from torch.utils.checkpoint import checkpoint

from dacbn.norms import FollowsStream, following, norms
from dacbn.norms.following import weight_of

NAMES = [name for name in norms if issubclass(norms[name], FollowsStream)]


def state(layer):
    return {name: value.clone() for name, value in layer.named_buffers()}


def test_the_list_is_what_it_should_be():
    assert NAMES == [
        "instance_aware_batch_norm",
        "robust_batch_norm",
        "stream_ucb_norm",
        "unmix_norm",
    ]


@pytest.mark.parametrize("name", NAMES)
def test_statistics_move_inside_and_nowhere_else(name):
    layer, x = trained(name, (16, 4, 5)).eval(), torch.randn(8, 4, 5) + 3
    before = state(layer)
    first = layer(x)
    assert torch.equal(layer(x), first)
    assert all(torch.equal(value, before[key]) for key, value in layer.named_buffers())
    with following(layer):
        layer(x)
    moved = [not torch.equal(value, before[key]) for key, value in layer.named_buffers()]
    assert any(moved) and not layer.follows
    again = layer(x)
    assert torch.equal(layer(x), again)


@pytest.mark.parametrize("name", NAMES)
def test_the_rule_is_the_same_in_training_mode(name):
    layer, x = trained(name, (16, 4, 5)), torch.randn(8, 4, 5) + 3
    other = copy.deepcopy(layer).eval()
    with following(layer), following(other):
        assert torch.equal(layer(x), other(x))
    assert all(torch.equal(value, state(other)[key]) for key, value in layer.named_buffers())


@pytest.mark.parametrize("name", NAMES)
def test_a_checkpoint_is_refused_because_its_second_pass_finds_other_statistics(name):
    layer, x = trained(name, (16, 4, 5)).eval(), torch.randn(8, 4, 5).requires_grad_()
    with following(layer):
        y = checkpoint(layer, x, use_reentrant=False)
        with pytest.raises(RuntimeError, match="without checkpoints"):
            y.sum().backward()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(1, 4), (1, 4, 1), (1, 4, 3), (0, 4, 3)])
def test_tiny_batches_leave_it_finite(name, shape):
    layer = trained(name, (16, 4, 5)).eval()
    with following(layer):
        assert layer(torch.randn(shape)).isfinite().all()
    assert all(value.isfinite().all() for value in layer.buffers())


@pytest.mark.parametrize("name", NAMES)
def test_half_precision_moves_statistics_of_float32(name):
    layer, x = trained(name, (16, 4, 5)).eval(), torch.randn(8, 4, 5)
    twin = copy.deepcopy(layer)
    with following(layer), following(twin):
        y, exact = layer(x.bfloat16()), twin(x.bfloat16().float())
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y.float(), exact, rtol=2e-2, atol=2e-2)
    assert all(torch.equal(value, state(twin)[key]) for key, value in layer.named_buffers())


@pytest.mark.parametrize("name", NAMES)
def test_a_saved_state_goes_on_with_the_same_answers(name):
    layer, x = trained(name, (16, 4, 5)).eval(), torch.randn(8, 4, 5)
    with following(layer):
        layer(x)
    other = norms[name](4).eval()
    other.load_state_dict(layer.state_dict())
    with following(layer), following(other):
        assert torch.equal(layer(x + 1), other(x + 1)) and torch.equal(layer(x), other(x))


def test_many_small_batches_weigh_as_one_large():
    kept = 1.0
    for _ in range(64):
        kept *= 1 - weight_of(1, 0.3)
    assert abs(1 - kept - weight_of(64, 0.3)) < 1e-12


def test_it_ends_when_a_pass_fails():
    layer = trained("robust_batch_norm")
    with pytest.raises(ValueError, match="expects"), following(layer):
        layer(torch.randn(8, 5))
    assert not layer.follows
