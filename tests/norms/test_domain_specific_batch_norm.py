"""A BatchNorm of its own for every domain."""

import context_batch_norm_reference as reference
import numpy as np
import pytest
import torch
from torch import nn

from dacbn.norms import DomainSpecificBatchNorm

IDS = torch.tensor([1, 0, 1, 1, 2, 0, 1, 0, 1, 1])  # three, six, one and no samples


def run(layer, x, ids=IDS):
    with layer.context.bind(ids):
        return layer(x)


def randomised(layer):
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.randn_like(parameter))
    return layer


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("positions", [1, 5])
def test_outputs_follow_the_equation(training, positions):
    layer = randomised(DomainSpecificBatchNorm(3, 4, eps=0.1).double())
    for _ in range(2):
        run(layer, torch.randn(10, 3, 4, dtype=torch.float64))
    mean, var = layer.running.mean.numpy().copy(), layer.running.var.numpy().copy()
    x = torch.randn(10, 3, positions, dtype=torch.float64) * 3 + 1
    if training:
        mean, var = reference.moments_in_training(x.numpy(), IDS.tolist(), mean, var)
    wanted = reference.normalised(x.numpy(), IDS.tolist(), mean, var, 0.1)
    weight, bias = (rows.detach().numpy()[IDS][..., None] for rows in (layer.weight, layer.bias))
    found = run(layer.train(training), x).detach().numpy()
    np.testing.assert_allclose(found, wanted * weight + bias)


@pytest.mark.parametrize("affine", [True, False])
def test_domains_are_as_many_whole_batch_norms(affine):
    layer = DomainSpecificBatchNorm(3, affine=affine)
    theirs = [randomised(nn.BatchNorm1d(3, affine=affine)) for _ in range(2)]
    if affine:
        with torch.no_grad():
            layer.weight.copy_(torch.stack([norm.weight for norm in theirs]))
            layer.bias.copy_(torch.stack([norm.bias for norm in theirs]))
    ids = torch.tensor([0] * 64 + [1] * 192)[torch.randperm(256)]
    for training in (True, False):
        x = torch.randn(256, 3, 2) + 4 * ids[:, None, None]
        y = run(layer.train(training), x, ids)
        for k in range(2):
            torch.testing.assert_close(y[ids == k], theirs[k].train(training)(x[ids == k]))


def test_gradient_reaches_only_the_rows_of_domains_in_the_batch():
    layer = DomainSpecificBatchNorm(3, num_clusters=4)
    run(layer, torch.randn(10, 3, 5)).exp().sum().backward()
    for parameter in (layer.weight, layer.bias):
        assert (parameter.grad.abs().sum(1) > 0).tolist() == [True, True, True, False]


def test_every_domain_takes_over_a_batch_norm_whole():
    theirs = randomised(nn.BatchNorm2d(3))
    for _ in range(5):
        theirs(torch.randn(8, 3, 4, 4) * 3 + 5)
    layer = DomainSpecificBatchNorm.from_batch_norm(theirs.eval(), num_clusters=3)
    assert layer.weight.shape == layer.bias.shape == (3, 3)
    x = torch.randn(6, 3, 4, 4)
    for ids in (torch.arange(6) % 3, torch.full((6,), 2)):
        torch.testing.assert_close(run(layer, x, ids), theirs(x))


def test_weight_and_bias_are_the_outermost_map_of_each_domain():
    layer, x = DomainSpecificBatchNorm(3, 4), torch.randn(10, 3, 5)
    inner = run(layer, x)
    y = run(randomised(layer), x)
    weight, bias = layer.weight[IDS][..., None], layer.bias[IDS][..., None]
    torch.testing.assert_close(y, inner * weight + bias)
    nn.init.zeros_(layer.weight)  # as timm does with the last normaliser of a block
    assert torch.equal(run(layer, x), bias.expand_as(x))
