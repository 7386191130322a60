"""Moments of known clusters: those of a batch, and running ones."""

import context_batch_norm_reference as reference
import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from dacbn.norms.by_id.moments import RunningMoments, standardise, sums_by_cluster

# Three, six, one and no samples.
IDS = torch.tensor([1, 0, 1, 1, 2, 0, 1, 0, 1, 1])


def draw(*shape):
    return torch.randn(shape, dtype=torch.float64)


def running(momentum=0.1):
    moments = RunningMoments(4, 3, momentum).double()
    moments.start(draw(3), draw(3).square() + 0.5)
    return moments


@pytest.mark.parametrize("positions", [1, 5])
@pytest.mark.parametrize("momentum", [0.0, 0.3, 1.0])
def test_unequal_clusters_have_and_move_by_their_own_moments(positions, momentum):
    moments, x = running(momentum), draw(10, 3, positions) * 3 + 2
    before = moments.mean.numpy().copy(), moments.var.numpy().copy()
    values = x.numpy(), IDS.tolist()
    used = moments(x, IDS)
    for found, wanted in zip(used, reference.moments_in_training(*values, *before), strict=True):
        np.testing.assert_allclose(found, wanted)
    after = reference.moved(*values, *before, momentum)
    for found, wanted in zip((moments.mean, moments.var), after, strict=True):
        np.testing.assert_allclose(found, wanted)


def test_a_cluster_without_two_values_stays_where_it_is():
    moments = running()
    before = moments.mean.clone(), moments.var.clone()
    moments(draw(10, 3, 1), IDS)
    for old, new in zip(before, (moments.mean, moments.var), strict=True):
        moved = (old != new).all(1)
        assert moved.tolist() == [True, True, False, False]
        assert torch.equal(old[2:], new[2:])


def test_in_evaluation_the_batch_says_nothing():
    moments = running().eval()
    before = moments.mean.clone(), moments.var.clone()
    used = moments(draw(10, 3, 5) * 100, IDS)
    for old, new, found in zip(before, (moments.mean, moments.var), used, strict=True):
        assert torch.equal(old, new) and torch.equal(old, found)


def test_values_far_from_zero_keep_their_variance():
    x = torch.randn(64, 3, 10)
    moments, ids = RunningMoments(2, 3, 0.1), torch.arange(64) % 2
    _, near = moments(x, ids)
    _, far = moments(x + 3000, ids)
    torch.testing.assert_close(far, near, rtol=1e-3, atol=0)


def test_gradients_are_those_of_the_equations():
    moments = running()
    for positions in (1, 3):
        x = draw(10, 3, positions).requires_grad_()
        assert torch.autograd.gradcheck(
            lambda x: standardise(x, IDS, *moments(x, IDS)), x, fast_mode=True
        )


def test_sums_of_nothing_are_zero():
    empty = torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64)
    assert torch.equal(sums_by_cluster(*empty, 2), torch.zeros(2, 3))


class Largest(TorchDispatchMode):
    """Remember how large the largest tensor was that any operation made."""

    size = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        self.size = max(self.size, made.numel() if isinstance(made, torch.Tensor) else 0)
        return made


def test_many_clusters_need_no_copies_of_the_data():
    x, ids = torch.randn(32, 3, 50), torch.arange(32) % 16
    with Largest() as largest:
        standardise(x, ids, *RunningMoments(16, 3, 0.1)(x, ids))
    assert largest.size == x.numel()


def test_forgetting_starts_anew():
    moments = running()
    moments.reset_running_stats()
    assert moments.mean.eq(0).all() and moments.var.eq(1).all()
