"""UCB-Norm at test time against a slow loop of online EM."""

import math

import pytest
import torch
from torch import nn

from dacbn.norms import RobustBatchNorm, StreamUCBNorm, UCBNorm, following

C, EPS = 4, 1e-5


def source():
    torch.manual_seed(0)
    layer = nn.BatchNorm2d(C).double()
    for _ in range(5):
        layer(torch.randn(32, C, 4, 4).double() * 2 + 1)
    nn.init.uniform_(layer.weight, -2, 2), nn.init.uniform_(layer.bias, -2, 2)
    return layer.eval()


def posterior(x, prior, mean, var):
    """p(k | image): densities of its values, averaged over positions and summed over channels."""
    rows = []
    for image in x:
        joint = []
        for share, m, v in zip(prior, mean, var, strict=True):
            v = v + EPS
            squares = ((image - m[:, None, None]) ** 2).mean((1, 2)) / v
            joint.append(math.log(share) - 0.5 * float((squares + (2 * math.pi * v).log()).sum()))
        rows.append(torch.softmax(torch.tensor(joint).double(), 0))
    return torch.stack(rows)


@pytest.mark.parametrize("back", [0.0, 0.2])
def test_it_is_the_loop_for_a_stream_of_batches(back):
    batch_norm = source()
    layer = StreamUCBNorm.from_batch_norm(
        batch_norm, num_clusters=3, rate=0.3, spread=0.3, back=back
    )
    held = layer.components
    prior = [1 / 3] * 3
    mean, var = [list(each.clone()) for each in (held.mean, held.var)]
    start = [list(each.clone()) for each in (held.mean, held.var)]
    for images in (8, 1, 5):
        x = torch.randn(images, C, 3, 5).double() + 2 * torch.randn(images, C, 1, 1)
        p = posterior(x, prior, mean, var)
        rate, returning = (1 - (1 - each) ** (images / 64) for each in (0.3, back))
        for k in range(3):
            mass = p[:, k, None, None, None].expand_as(x)
            if float(mass.sum()) > 1e-3:
                found = (mass * x).sum((0, 2, 3)) / mass.sum((0, 2, 3))
                squares = (mass * (x - found[:, None, None]) ** 2).sum((0, 2, 3))
                count = images * 15
                newest = squares / mass.sum((0, 2, 3)) * count / (count - 1)
            else:
                found, newest = mean[k], var[k] * images * 15 / (images * 15 - 1)
            share = float(p[:, k].mean())
            prior[k] += rate * (share - prior[k])
            step = rate * share / prior[k]
            mean[k] = mean[k] + step * (found - mean[k])
            var[k] = var[k] + step * (newest - var[k])
            mean[k] = mean[k] + returning * (start[0][k] - mean[k])
            var[k] = var[k] + returning * (start[1][k] - var[k])
        with following(layer):
            y = layer(x)
        torch.testing.assert_close(held.mean, torch.stack(mean), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(held.var, torch.stack(var), rtol=1e-4, atol=1e-4)
        terms = [
            p[:, k, None, None, None]
            * ((x - mean[k][:, None, None]) / (var[k] + EPS).sqrt()[:, None, None])
            for k in range(3)
        ]
        wanted = sum(terms) * batch_norm.weight[:, None, None] + batch_norm.bias[:, None, None]
        torch.testing.assert_close(y, wanted, rtol=1e-3, atol=1e-3)


def test_one_component_is_robust_batch_norm():
    batch_norm = source()
    ours = StreamUCBNorm.from_batch_norm(batch_norm, num_clusters=1, rate=0.2)
    theirs = RobustBatchNorm.from_batch_norm(batch_norm, rate=0.2)
    for _ in range(3):
        x = torch.randn(64, C, 6, 6).double() * 3 + 1
        with following(ours), following(theirs):
            # the variance of a batch is unbiased here, as in the training of UCB-Norm
            torch.testing.assert_close(ours(x), theirs(x), rtol=1e-2, atol=1e-2)
    torch.testing.assert_close(ours.components.mean[0], theirs.running_mean)


def test_the_components_have_the_moments_of_the_source_together():
    batch_norm = nn.BatchNorm2d(500)
    nn.init.constant_(batch_norm.running_mean, 3), nn.init.constant_(batch_norm.running_var, 4)
    held = StreamUCBNorm.from_batch_norm(batch_norm, num_clusters=4, spread=0.2).components
    assert abs(held.mean.mean() - 3) < 0.1
    between = held.mean.var(0, correction=0).mean()
    assert abs(between - 0.2 * 4) < 0.08
    torch.testing.assert_close(held.var, torch.full_like(held.var, 0.8 * 4))


def test_without_spread_it_starts_as_the_source_and_a_batch_parts_it():
    batch_norm = source()
    layer = StreamUCBNorm.from_batch_norm(batch_norm, num_clusters=2, spread=0.0)
    x = torch.randn(8, C, 4, 4).double()
    torch.testing.assert_close(layer(x), batch_norm(x))
    with following(layer):
        layer(x)
    assert not torch.equal(layer.components.mean[0], layer.components.mean[1])


def test_components_follow_the_domains_of_a_mixed_stream():
    torch.manual_seed(0)
    layer = StreamUCBNorm.from_batch_norm(nn.BatchNorm2d(8), num_clusters=2, rate=0.5)
    side = torch.randn(8)[:, None, None] * 2
    domain = torch.arange(64) % 2
    for _ in range(10):
        x = torch.randn(64, 8, 4, 4) + torch.where(domain[:, None, None, None] == 1, side, -side)
        with following(layer):
            layer(x)
    found = layer.assignments(x.flatten(2)).argmax(0)[:, 0, 0]
    assert (found == found[0]).float().sub((domain == domain[0]).float()).abs().sum() == 0


def test_it_trains_as_ucb_norm_and_a_stream_starts_from_there():
    torch.manual_seed(0)
    ours, theirs = StreamUCBNorm(C, 3), UCBNorm(C, 3, assign="sample")
    for _ in range(3):
        x = torch.randn(8, C, 3, 3)
        torch.testing.assert_close(ours(x), theirs(x))
    assert torch.equal(ours.source_mean, ours.components.mean)
