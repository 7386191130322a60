"""TransNorm: domains by themselves, and channels raised in which they agree."""

import context_batch_norm_reference as moments
import numpy as np
import pytest
import torch
import trans_norm_reference as reference
from torch import nn

from dacbn.norms import ContextBatchNorm, TransNorm

IDS = torch.tensor([1, 0, 1, 1, 2, 0, 1, 0, 1, 1])  # three, six and one samples


def run(layer, x, ids=IDS):
    with layer.context.bind(ids):
        return layer(x)


def draw(*shape):
    """Return values (N, 5, L) of channels that lie differently far from zero."""
    x = torch.randn(shape, dtype=torch.float64)
    return x + torch.arange(5)[:, None] * torch.randn(len(x), 1, 1, dtype=torch.float64)


def seen(num_clusters=3):
    layer = TransNorm(5, num_clusters, eps=0.1).double()
    for _ in range(2):
        run(layer, draw(10, 5, 4), IDS % num_clusters)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(5)), layer.bias.copy_(torch.randn(5))
    return layer


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("num_clusters", [1, 2, 3])
@pytest.mark.parametrize("positions", [1, 6])
def test_outputs_follow_the_equation(training, num_clusters, positions):
    layer, x = seen(num_clusters).train(training), draw(10, 5, positions)
    ids = (IDS % num_clusters).tolist()
    mean, var = layer.running.mean.numpy().copy(), layer.running.var.numpy().copy()
    if training:
        mean, var = moments.moments_in_training(x.numpy(), ids, mean, var)
    weight, bias = (value.detach().numpy()[:, None] for value in (layer.weight, layer.bias))
    z = moments.normalised(x.numpy(), ids, mean, var, 0.1) * weight + bias
    wanted = z * reference.raising(mean, var, 0.1)[:, None]
    found = run(layer, x, IDS % num_clusters).detach().numpy()
    np.testing.assert_allclose(found, wanted)


@pytest.mark.parametrize("training", [True, False])
def test_a_batch_of_one_domain_is_raised_by_what_is_known_of_the_other(training):
    layer, x, ids = seen(2).train(training), draw(10, 5, 4), torch.ones(10, dtype=torch.int64)
    source = layer.running.mean[0].clone()
    plain = ContextBatchNorm(5, 2, eps=0.1).double().train(training)
    plain.load_state_dict(layer.state_dict())
    with torch.no_grad():
        before, after = run(layer, x, ids), run(plain, x, ids)
        # both moved alike, but evaluation repeats itself
        ratio = before / after
    assert ratio.std((0, 2)).max() < 1e-9 and ratio[0, :, 0].std() > 1e-3
    assert torch.equal(layer.running.mean[0], source)
    with torch.no_grad():
        layer.running.mean[0] += torch.tensor([50.0, 0, 0, 0, 0])
        raised = run(layer, x, ids) / run(plain, x, ids)
    assert raised[0, 0, 0] < 1.1  # the domains now differ in the first channel


def test_channels_in_which_the_domains_agree_are_raised_most():
    x = torch.randn(200, 3, 1)
    ids = torch.arange(200) % 2
    x[ids == 1] += torch.tensor([0.0, 1.0, 5.0])[:, None]
    raising = run(TransNorm(3), x, ids).std((0, 2))
    assert raising[0] > raising[1] > raising[2] > 1
    torch.testing.assert_close(raising.mean(), torch.tensor(2.0), rtol=0.01, atol=0)


def test_no_gradient_flows_through_the_raising():
    layer, x = TransNorm(5).double(), draw(10, 5, 3)
    ids, mix = IDS % 2, torch.randn(10, 5, 3, dtype=torch.float64)
    ours, plainly = x.clone().requires_grad_(), x.clone().requires_grad_()
    y, z = run(layer, ours, ids), run(ContextBatchNorm(5).double(), plainly, ids)
    raising = (y / z).detach()
    (y * mix).sum().backward()
    (z * raising * mix).sum().backward()
    torch.testing.assert_close(ours.grad, plainly.grad)


def test_weight_and_bias_take_back_what_the_raising_doubles():
    theirs = nn.BatchNorm1d(4)
    for _ in range(5):
        theirs(torch.randn(8, 4) * 3 + 5)
    nn.init.uniform_(theirs.bias)
    x = torch.randn(8, 4)
    layer = TransNorm.from_batch_norm(theirs.eval())
    torch.testing.assert_close(run(layer, x, torch.arange(8) % 2), theirs(x))
    torch.testing.assert_close(layer.weight, theirs.weight / 2)
