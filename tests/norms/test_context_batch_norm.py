"""Batch normalisation of each known cluster by itself."""

import context_batch_norm_reference as reference
import numpy as np
import pytest
import torch
from line_across_domains import accuracy_in_the_target
from torch import nn

from dacbn.norms import ContextBatchNorm

IDS = torch.tensor([1, 0, 1, 1, 2, 0, 1, 0, 1, 1])  # three, six, one and no samples


def run(layer, x, ids=IDS):
    with layer.context.bind(ids):
        return layer(x)


def draw(*shape):
    return torch.randn(shape, dtype=torch.float64) * 2 + 1


def seen(**options):
    """Return a layer with running statistics and an affine map of its own."""
    layer = ContextBatchNorm(3, num_clusters=4, **options).double()
    for _ in range(3):
        run(layer, draw(10, 3, 2))
    with torch.no_grad():
        layer.weight.copy_(draw(3)), layer.bias.copy_(draw(3))
    return layer


@pytest.mark.parametrize("prior_scale", [False, True])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("positions", [1, 5])
def test_outputs_follow_the_equation(prior_scale, training, positions):
    layer = seen(eps=0.1, prior_scale=prior_scale).train(training)
    x = draw(10, 3, positions)
    mean, var = layer.running.mean.numpy().copy(), layer.running.var.numpy().copy()
    if training:
        mean, var = reference.moments_in_training(x.numpy(), IDS.tolist(), mean, var)
    prior = 0.25 if prior_scale else 1
    wanted = reference.normalised(x.numpy(), IDS.tolist(), mean, var, 0.1, prior)
    weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    found = run(layer, x).detach().numpy()
    np.testing.assert_allclose(found, wanted * weight[:, None] + bias[:, None])


@pytest.mark.parametrize("momentum", [0.1, 1.0])
def test_one_cluster_is_batch_norm(momentum):
    layer, theirs = ContextBatchNorm(3, 1, momentum=momentum), nn.BatchNorm2d(3, momentum=momentum)
    ids = torch.zeros(8, dtype=torch.int64)
    for _ in range(3):
        x = torch.randn(8, 3, 4, 5) * 3 + 2
        torch.testing.assert_close(run(layer, x, ids), theirs(x))
    torch.testing.assert_close(layer.running.mean[0], theirs.running_mean)
    torch.testing.assert_close(layer.running.var[0], theirs.running_var)
    torch.testing.assert_close(run(layer.eval(), x, ids), theirs.eval()(x))


def test_domains_are_as_many_batch_norms():
    layer, theirs = ContextBatchNorm(3), [nn.BatchNorm1d(3), nn.BatchNorm1d(3)]
    ids = torch.tensor([0] * 64 + [1] * 192)[torch.randperm(256)]
    for training in (True, False):
        layer.train(training)
        x = torch.randn(256, 3, 2) + 4 * ids[:, None, None]
        y = run(layer, x, ids)
        for k in range(2):
            torch.testing.assert_close(y[ids == k], theirs[k].train(training)(x[ids == k]))


def test_the_prior_multiplies_by_the_root_of_the_number_of_clusters():
    x, ids = torch.randn(8, 3, 5), torch.arange(8) % 4
    plain, scaled = (run(ContextBatchNorm(3, 4, prior_scale=on), x, ids) for on in (False, True))
    torch.testing.assert_close(scaled, 2 * plain)


def test_the_prior_leaves_the_bias_alone():
    layer = ContextBatchNorm(3, prior_scale=True)
    with torch.no_grad():
        layer.weight.zero_(), layer.bias.fill_(3)
    assert run(layer, torch.randn(4, 3), torch.arange(4) % 2).eq(3).all()


def test_populations_that_differ_in_place_and_scale_become_alike():
    """A line learned on the source then holds in the target, which BatchNorm does not achieve."""
    labels, ids = torch.arange(800) % 2, (torch.arange(800) // 2) % 2
    z = torch.randn(800, 4) * 0.5 + labels[:, None] * torch.tensor([2.0, 2.0, 1.0, 0.0])
    x = torch.where(ids[:, None] == 0, z, 0.2 * z + 5)
    right = {}
    for name, clusters in (("context", 2), ("batch", 1)):
        y = run(ContextBatchNorm(4, clusters), x, ids % clusters).detach()
        right[name] = accuracy_in_the_target(y, ids, labels)
    assert right["context"] > 0.95 and right["batch"] < 0.6


def test_a_printed_layer_says_its_options():
    assert "num_clusters=2" in repr(ContextBatchNorm(3))
    assert "prior_scale" not in repr(ContextBatchNorm(3))
    assert "prior_scale=True" in repr(ContextBatchNorm(3, prior_scale=True))


@pytest.mark.parametrize("num_clusters", [0, 1.5])
def test_what_is_no_count_of_clusters_raises(num_clusters):
    with pytest.raises(
        ValueError, match=r"num_clusters of context_batch_norm must be (at least 1|a whole number)"
    ):
        ContextBatchNorm(3, num_clusters)
