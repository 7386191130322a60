"""A training step of a mixture per channel in one compiled call is that of the formulas."""

import copy

import pytest
import torch
from torch.utils.checkpoint import checkpoint, set_checkpoint_early_stop

from dacbn.norms import UCBNorm, ucb_norm
from dacbn.norms.mixture import channel_steps
from dacbn.norms.mixture.kernels import choose

pytestmark = pytest.mark.skipif(
    isinstance(choose.find_kernels("cpu", 3), str), reason="no kernel on this machine"
)


@pytest.fixture
def taken(monkeypatch):
    """Note whether each step was taken by compiled code."""
    steps = []

    def note(*arguments):
        steps.append(channel_steps.channel_step(*arguments))
        return steps[-1]

    monkeypatch.setattr(ucb_norm, "channel_step", note)
    return steps


def layer_after_a_batch(clusters=3, **options):
    layer = UCBNorm(5, clusters, **options)
    layer(torch.randn(40, 5) * 2 + 1)
    return layer


@pytest.mark.parametrize("shape", [(64, 5), (3, 5, 7, 7), (4, 5, 1, 1)])
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize(("clusters", "affine"), [(1, True), (2, False), (3, True), (8, True)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_it_is_that_of_a_layer_in_double(taken, shape, channels_last, clusters, affine, dtype):
    layer = layer_after_a_batch(clusters, affine=affine)
    twin = copy.deepcopy(layer).double()
    half = dtype is torch.bfloat16
    taken.clear()
    for _ in range(3):
        x, g = (torch.randn(shape) * 2 + 1).to(dtype), torch.randn(shape).to(dtype)
        if channels_last and len(shape) == 4:
            x = x.contiguous(memory_format=torch.channels_last)
        leaf, wide = x.clone().requires_grad_(), x.double().requires_grad_()
        y, wanted = layer(leaf), twin(wide)
        found = torch.autograd.grad(y, [leaf, *layer.parameters()], g)
        exact = torch.autograd.grad(wanted, [wide, *twin.parameters()], g.double())
        for one, other in zip((y, *found), (wanted, *exact), strict=True):
            rounding = 2**-8 if half and one.shape == x.shape else 0
            bound = 3e-5 * max(1.0, other.abs().max().item())
            torch.testing.assert_close(one.double(), other, rtol=rounding, atol=bound)
        for one, other in zip(layer.buffers(), twin.buffers(), strict=True):
            torch.testing.assert_close(one.double(), other.double(), rtol=1e-5, atol=1e-5)
        assert y.stride() == x.stride() == found[0].stride()
    assert [step is not None for step in taken] == [True, False] * 3


def test_a_second_derivative_is_that_of_a_layer_in_double(taken):
    layer = layer_after_a_batch()
    twin = copy.deepcopy(layer).double()
    results = []
    x = torch.randn(6, 5, 4)
    for each in (layer, twin):
        leaf = x.to(each.weight.dtype).requires_grad_()
        leaves = [leaf, *each.parameters()]
        y = each(leaf)
        first = torch.autograd.grad(y.sin().sum(), leaves, create_graph=True)
        results.append(torch.autograd.grad(sum(part.square().sum() for part in first), leaves))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-3, atol=1e-3)
    assert taken[0] is not None


def test_what_is_recomputed_reads_the_tables_of_its_forward_and_moves_nothing(taken):
    layer, x = layer_after_a_batch(), torch.randn(9, 5, requires_grad=True)
    twin = copy.deepcopy(layer)
    taken.clear()
    with set_checkpoint_early_stop(False):  # the whole layer runs again
        checkpoint(layer, x, use_reentrant=False).sin().sum().backward()
    found, x.grad = x.grad, None
    twin(x).sin().sum().backward()
    torch.testing.assert_close(found, x.grad)
    for one, other in zip(layer.buffers(), twin.buffers(), strict=True):
        assert torch.equal(one, other)
    assert len(taken) == 3 and all(step is not None for step in taken)


def test_moved_tables_are_noticed_by_autograd(taken):
    layer = layer_after_a_batch()
    kept = (layer.running.mean.clone().requires_grad_() * layer.running.var).sum()
    layer(torch.randn(9, 5))
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        kept.backward()


@pytest.mark.parametrize("options", [{"prior_scale": True}, {"update": "hybrid"}])
def test_other_layers_are_left_to_the_formulas(taken, options):
    layer_after_a_batch(**options)
    assert not taken


def test_tables_of_another_type_are_left_to_the_formulas(taken):
    UCBNorm(5).double()(torch.randn(9, 5, dtype=torch.float64))
    assert taken == [None]


def test_c_refuses_tables_of_another_size():
    layer = layer_after_a_batch()
    layer.weight = torch.nn.Parameter(torch.ones(4))
    with pytest.raises(ValueError, match="a table needs 5 values"):
        layer(torch.randn(9, 5))


def test_infinite_activations_leave_the_running_mixture_finite(taken):
    layer, x = layer_after_a_batch(), torch.randn(9, 5)
    x[0, 1] = torch.inf
    before = copy.deepcopy(layer.running)
    layer(x)
    moved = layer.running.mean != before.mean
    assert all(buffer.isfinite().all() for buffer in layer.buffers())
    assert moved[:, [0, 2, 3, 4]].all() and not moved[:, 1].any()


def test_what_it_cannot_do_raises_before_anything_moves(taken):
    layer = layer_after_a_batch()
    taken.clear()
    with torch.inference_mode():
        x = torch.randn(9, 5)
    before = copy.deepcopy(layer.state_dict())
    with pytest.raises(RuntimeError, match="Inference tensors"):
        layer(x)
    for name, value in layer.state_dict().items():
        assert value.equal(before[name]), name
    layer.running.mean = torch.rand(5, 3)
    with pytest.raises(ValueError, match="a table needs"):
        layer(torch.randn(9, 5))
    assert taken == [None, None]


def test_a_running_table_that_wants_a_gradient_is_refused(taken):
    layer = layer_after_a_batch()
    taken.clear()
    layer.running.mean.requires_grad_()
    with pytest.raises(RuntimeError):
        layer(torch.randn(9, 5)).square().sum().backward()
    assert taken == [None]
