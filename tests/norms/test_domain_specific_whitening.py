"""Whitening of each domain by itself, within groups of channels."""

import domain_specific_whitening_reference as reference
import numpy as np
import pytest
import torch
from line_across_domains import accuracy_in_the_target
from torch import nn

from dacbn.norms import ContextBatchNorm, DomainSpecificWhitening, reset_statistics

IDS = torch.tensor([1, 0, 1, 1, 2, 0, 1, 0, 1, 1])  # three, six, one and no samples


def run(layer, x, ids=IDS):
    with layer.context.bind(ids):
        return layer(x)


def draw(*shape):
    """Return values (N, C, L) of correlated channels."""
    x = torch.randn(shape, dtype=torch.float64)
    return torch.einsum("dc,ncl->ndl", torch.randn(shape[1], shape[1], dtype=x.dtype), x) + 2


def covariances_of(layer, channels):
    """Return the full matrices (K, C, C) that a layer keeps the groups of."""
    full = [torch.block_diag(*blocks) for blocks in layer.running.var]
    return torch.stack(full)[:, :channels, :channels].numpy()


@pytest.mark.parametrize("group_size", [1, 2, 4, 5, 9])
@pytest.mark.parametrize("positions", [1, 7])
@pytest.mark.parametrize("training", [True, False])
def test_outputs_and_running_covariances_follow_the_equations(group_size, positions, training):
    layer = DomainSpecificWhitening(5, 4, group_size, 0.05, eps=0.1, momentum=0.3).double()
    run(layer, draw(10, 5, 6))
    x, ids = draw(10, 5, positions), IDS.tolist()
    means = layer.running.mean[:, :5].numpy().copy()
    covariances = covariances_of(layer, 5)
    kept = means.copy(), covariances.copy()
    for k in range(4) if training else ():
        rows = reference.rows_of(x.numpy(), ids, k)
        if len(rows) > 1:
            means[k], covariances[k] = rows.mean(0), reference.covariance(rows, 0)
            kept[0][k] += 0.3 * (rows.mean(0) - kept[0][k])
            kept[1][k] += 0.3 * (reference.covariance(rows, 1) - kept[1][k])
    wanted = reference.whitened(x.numpy(), ids, means, covariances, group_size, 0.05, 0.1)
    found = run(layer.train(training), x).detach().numpy()
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(layer.running.mean[:, :5].numpy(), kept[0])
    blocks = np.zeros((5, 5), dtype=bool)
    for part in reference.groups(5, group_size):
        blocks[part, part] = True
    np.testing.assert_allclose(covariances_of(layer, 5), kept[1] * blocks, atol=1e-12)


@pytest.mark.parametrize("training", [True, False])
def test_each_domain_comes_out_white_within_every_group(training):
    ids = torch.tensor([0] * 64 + [1] * 192)
    x = torch.cat([draw(64, 8, 30), 3 * draw(192, 8, 30) - 4]).float()
    layer = DomainSpecificWhitening(8, momentum=1.0, shrinkage=0)
    run(layer, x, ids)
    y = run(layer.train(training), x, ids)
    for k in range(2):
        for part in reference.groups(8, 4):
            cov = torch.cov(y[ids == k].transpose(0, 1)[part].flatten(1).detach())
            torch.testing.assert_close(cov, torch.eye(4), rtol=0, atol=5e-3)


@pytest.mark.parametrize("shrinkage", [0.0, 0.2])
def test_groups_of_one_are_batch_norms_of_the_domains(shrinkage):
    layer = DomainSpecificWhitening(3, 4, group_size=1, shrinkage=shrinkage, eps=0.1)
    # (1 - s) var + s + eps is var + (s + eps) / (1 - s), but for the scale
    alike = ContextBatchNorm(3, 4, eps=(shrinkage + 0.1) / (1 - shrinkage))
    for training in (True, True, False):
        x = torch.randn(10, 3, 5) * 3 + 1
        wanted = run(alike.train(training), x) / (1 - shrinkage) ** 0.5
        torch.testing.assert_close(run(layer.train(training), x), wanted)


@pytest.mark.parametrize("group_size", [4, 64])
@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e6])
def test_channels_that_are_copies_of_each_other_are_no_trouble(group_size, scale):
    layer = DomainSpecificWhitening(64, group_size=group_size, shrinkage=0)
    x = (torch.randn(32, 1, 4) * scale).expand(32, 64, 4).clone().requires_grad_()
    for _ in range(3):
        y = run(layer, x, torch.arange(32) % 2)
    y.square().sum().backward()
    assert y.isfinite().all() and x.grad.isfinite().all() and y.abs().max() < 100
    assert run(layer.eval(), x, torch.arange(32) % 2).isfinite().all()


def test_a_domain_of_fewer_values_than_channels_is_no_trouble():
    layer, x = DomainSpecificWhitening(16, group_size=16), torch.randn(4, 16, requires_grad=True)
    y = run(layer, x, torch.arange(4) % 2)
    y.square().sum().backward()
    assert y.isfinite().all() and x.grad.isfinite().all() and y.abs().max() < 10


def test_a_target_whose_channels_are_mixed_is_aligned():
    """A line learned on the source holds in the target; by channel, moments cannot unmix it."""
    labels, ids = torch.arange(800) % 2, (torch.arange(800) // 2) % 2
    z = torch.randn(800, 4) + labels[:, None] * torch.tensor([0.0, 0.0, 0.0, 4.0])
    mixing = torch.eye(4) + 3 * torch.ones(4, 4).tril(-1)
    x = torch.where(ids[:, None] == 0, z, z @ mixing.T)
    right = {}
    for kind in (DomainSpecificWhitening, ContextBatchNorm):
        right[kind] = accuracy_in_the_target(run(kind(4), x, ids).detach(), ids, labels)
    assert right[DomainSpecificWhitening] > 0.92 and right[ContextBatchNorm] < 0.75


@pytest.mark.parametrize("group_size", [2, 4])
def test_gradients_are_those_of_the_equations(group_size):
    layer, x = DomainSpecificWhitening(5, 4, group_size).double(), draw(10, 5, 3)
    assert torch.autograd.gradcheck(lambda x: run(layer, x), x.requires_grad_(), fast_mode=True)


def test_a_batch_norm_lends_its_statistics_without_correlations():
    theirs = nn.BatchNorm1d(6, eps=0.1)
    for _ in range(5):
        theirs(torch.randn(8, 6) * 3 + 5)
    layer = DomainSpecificWhitening.from_batch_norm(theirs.eval(), shrinkage=0)
    x = torch.randn(10, 6)
    torch.testing.assert_close(run(layer, x, IDS % 2), theirs(x))
    reset_statistics(layer)
    torch.testing.assert_close(run(layer, x, IDS % 2), theirs.weight * x / 1.1**0.5)


def test_a_layer_with_an_incomplete_group_forgets_all_it_has_seen():
    layer, fresh = DomainSpecificWhitening(5, 4), DomainSpecificWhitening(5, 4)
    run(layer, draw(10, 5, 3).float())
    reset_statistics(layer)
    for key, value in fresh.state_dict().items():
        assert torch.equal(layer.state_dict()[key], value)


def test_a_group_is_never_larger_than_the_layer():
    assert DomainSpecificWhitening(5, group_size=64).running.var.shape == (2, 1, 5, 5)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"group_size": 0}, "group_size of domain_specific_whitening must be at least 1"),
        ({"group_size": 2.0}, "group_size of domain_specific_whitening must be a whole number"),
        ({"shrinkage": 1.5}, r"shrinkage of domain_specific_whitening must be in \[0, 1\]"),
    ],
)
def test_a_bad_option_raises_with_the_cure(options, text):
    with pytest.raises(ValueError, match=text):
        DomainSpecificWhitening(4, **options)
