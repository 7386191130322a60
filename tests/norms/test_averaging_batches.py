"""`momentum = None`, by which all batches weigh the same, against torch's BatchNorm."""

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
    UCBNorm,
    reset_statistics,
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
