"""`momentum = None`, by which all batches weigh the same, against torch's BatchNorm."""

import copy
from itertools import islice

import pytest
import torch
from norm_cases import run
from torch import nn
from torch.optim.swa_utils import update_bn
from torch.utils.checkpoint import checkpoint

from dacbn.norms import (
    BatchNorm,
    DomainSpecificBatchNorm,
    KalmanNorm,
    UCBNorm,
    frozen_statistics,
    reset_statistics,
    set_statistics,
    share_context,
)


def test_a_checkpointed_batch_counts_once():
    ours, theirs = BatchNorm(2), nn.BatchNorm1d(2)
    ours.momentum = theirs.momentum = None
    for mean in range(4):
        x = torch.randn(8, 2, 3) + mean
        theirs(x)
        checkpoint(ours, x.requires_grad_(), use_reentrant=False).sum().backward()
    torch.testing.assert_close(ours.running_mean, theirs.running_mean)
    torch.testing.assert_close(ours.running_var, theirs.running_var)


@pytest.mark.parametrize("again", ["reset_running_stats", "update_bn"])
@pytest.mark.parametrize("create", [nn.BatchNorm1d, BatchNorm, DomainSpecificBatchNorm])
def test_the_average_begins_at_a_reset_and_goes_on(create, again):
    """After t batches it is the mean of their moments: m_t = (m_1 + ... + m_t) / t."""
    batches = [torch.randn(8, 2) * (1 + i) + i * i for i in range(5)]
    layer = create(2)
    layer.momentum = None
    ids = torch.zeros(8, dtype=torch.long)
    with share_context(layer).bind(ids):
        layer(batches[0]), layer(batches[1])
        if again == "update_bn":
            update_bn(batches[2:4], layer)
        else:
            reset_statistics(layer)
            layer(batches[2]), layer(batches[3])
        layer(batches[4])
    assert layer.momentum is None
    mean, var = (each.reshape(-1, 2)[0].clone() for each in islice(layer.buffers(), 2))
    torch.testing.assert_close(mean, torch.stack([x.mean(0) for x in batches[2:]]).mean(0))
    torch.testing.assert_close(var, torch.stack([x.var(0) for x in batches[2:]]).mean(0))
    layer.momentum = 0.5  # ends it
    expected = mean.lerp(batches[0].mean(0), 0.5)
    with share_context(layer).bind(ids):
        layer(batches[0])
    torch.testing.assert_close(next(layer.buffers()).reshape(-1, 2)[0], expected)


def one_domain(layer, batches):
    with share_context(layer).bind(torch.zeros(8, dtype=torch.long)):
        for x in batches:
            layer(x)


def assert_mean_of_all(layer, batches):
    mean, var = (each.double().reshape(-1, 2)[0] for each in islice(layer.buffers(), 2))
    wide = torch.stack(batches).double()
    torch.testing.assert_close(mean, wide.mean(1).mean(0), rtol=0, atol=1e-5)
    torch.testing.assert_close(var, wide.var(1).mean(0), rtol=1e-6, atol=0)


@pytest.mark.parametrize("given", [0.1, None])
@pytest.mark.parametrize("create", [nn.BatchNorm1d, BatchNorm, DomainSpecificBatchNorm])
def test_update_bn_averages_slow_statistics_too(create, given):
    batches = [torch.randn(8, 2) * (1 + i) + i * i for i in range(6)]
    layer = create(2)
    layer.momentum = given
    one_domain(layer, [batches[0] * 9])
    set_statistics(layer, "slow")
    with share_context(layer).bind(torch.zeros(8, dtype=torch.long)):
        update_bn(batches[:4], layer)
    assert_mean_of_all(layer, batches[:4])
    mean = next(layer.buffers()).reshape(-1, 2)[0].clone()
    slow = copy.deepcopy(layer)
    one_domain(slow, [batches[4]])
    expected = mean.lerp(batches[4].mean(0), 0.01)
    torch.testing.assert_close(next(slow.buffers()).reshape(-1, 2)[0], expected)
    set_statistics(layer, "follow")
    assert layer.momentum == given
    if given is None:
        one_domain(layer, batches[4:])
        assert_mean_of_all(layer, batches)


@pytest.mark.parametrize("create", [nn.BatchNorm1d, BatchNorm, DomainSpecificBatchNorm])
def test_batches_that_change_no_statistics_do_not_count(create):
    batches = [torch.randn(8, 2) * (1 + i) + i * i for i in range(6)]
    layer = create(2)
    layer.momentum = None
    one_domain(layer, batches[:3])
    with frozen_statistics(layer):
        one_domain(layer, batches * 3)
    one_domain(layer, batches[3:])
    assert_mean_of_all(layer, batches)


@pytest.mark.parametrize("create", [nn.BatchNorm1d, BatchNorm, KalmanNorm])
@pytest.mark.parametrize("slow", [False, True])
def test_an_average_goes_on_from_a_loaded_state(create, slow):
    batches = [torch.randn(8, 2) * (1 + i) + i * i for i in range(6)]
    saved, layer = create(2), create(2)
    saved.momentum = layer.momentum = None
    if slow:
        set_statistics(layer, "slow")
    one_domain(saved, batches[:4])
    layer.load_state_dict(saved.state_dict())
    set_statistics(layer, "follow")
    one_domain(layer, batches[4:])
    assert_mean_of_all(layer, batches)


def test_the_average_of_a_mixture_goes_on_from_a_loaded_state():
    saved, layer = UCBNorm(2), UCBNorm(2)
    saved.momentum = layer.momentum = None
    for i in range(4):
        saved(torch.randn(8, 2) + i)
    layer.load_state_dict(saved.state_dict())
    x = torch.randn(8, 2) * 5
    torch.testing.assert_close(layer(x), saved(x))
    assert layer.pace == saved.pace == 1 / 5
    torch.testing.assert_close(layer.state_dict(), saved.state_dict())


@pytest.mark.parametrize("create", [BatchNorm, UCBNorm, DomainSpecificBatchNorm])
def test_statistics_that_are_not_tracked_stay(create):
    layer, x, ids = create(4), torch.randn(8, 4, 5), torch.arange(8) % 2
    layer.momentum = None
    run(layer, x, ids)
    layer.track_running_stats = False
    before = {key: each.clone() for key, each in layer.named_buffers() if "num_" not in key}
    run(layer, x + 5, ids)
    assert all(torch.equal(layer.get_buffer(key), each) for key, each in before.items())
    layer.track_running_stats = True
    run(layer, x + 5, ids)
    assert not all(torch.equal(layer.get_buffer(key), each) for key, each in before.items())


def test_the_counts_of_domains_follow_the_layer_to_another_device():
    layer = DomainSpecificBatchNorm(1)
    layer.momentum = None
    for device in ("cpu", "meta"):
        x, ids = torch.ones(4, 1, 2, device=device), torch.zeros(4, dtype=torch.long, device=device)
        assert run(layer.to(device), x, ids).shape == x.shape
