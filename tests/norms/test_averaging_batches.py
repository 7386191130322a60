"""`momentum = None`, by which all batches weigh the same, against torch's BatchNorm."""

import pytest
import torch
from norm_cases import run
from torch import nn
from torch.utils.checkpoint import checkpoint

from dacbn.norms import BatchNorm, DomainSpecificBatchNorm, UCBNorm


def test_a_checkpointed_batch_counts_once():
    ours, theirs = BatchNorm(2), nn.BatchNorm1d(2)
    ours.momentum = theirs.momentum = None
    for mean in range(4):
        x = torch.randn(8, 2, 3) + mean
        theirs(x)
        checkpoint(ours, x.requires_grad_(), use_reentrant=False).sum().backward()
    torch.testing.assert_close(ours.running_mean, theirs.running_mean)
    torch.testing.assert_close(ours.running_var, theirs.running_var)


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
