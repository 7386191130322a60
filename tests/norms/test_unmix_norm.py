"""UnMix-TNS against a slow loop written from the equations."""

import copy

import pytest
import torch
from torch import nn

from dacbn.norms import BatchNorm, UnMixNorm, following

K, C, EPS = 5, 6, 1e-5


def source():
    torch.manual_seed(0)
    layer = nn.BatchNorm2d(C).double()
    for _ in range(5):
        layer(torch.randn(32, C, 4, 4).double() * torch.arange(1, C + 1)[:, None, None] + 2)
    nn.init.uniform_(layer.weight, -2, 2), nn.init.uniform_(layer.bias, -2, 2)
    return layer.eval()


def loop(x, source, means, variances):
    """Normalise each sample, one after the other, by all components; returns the belongings too."""
    out, belongings = torch.empty_like(x), []
    for n, sample in enumerate(x):
        own_mean, own_var = sample.mean((1, 2)), sample.var((1, 2), correction=0)
        cosines = [own_mean @ m / (own_mean.norm() * m.norm()) for m in means]
        p = torch.softmax(torch.stack(cosines) / 0.07, 0)
        moved = [(1 - q) * m + q * own_mean for q, m in zip(p, means, strict=True)]
        within = [(1 - q) * v + q * own_var for q, v in zip(p, variances, strict=True)]
        mean = sum(moved) / K
        var = sum(within) / K + sum(m**2 for m in moved) / K - mean**2
        y = (sample - mean[:, None, None]) / (var + EPS).sqrt()[:, None, None]
        out[n] = y * source.weight[:, None, None] + source.bias[:, None, None]
        belongings.append((p, own_mean, own_var))
    return out, belongings


@pytest.mark.parametrize("learns", [True, False])
def test_it_is_the_loop_for_a_stream_of_batches_of_unequal_size(learns):
    batch_norm = source()
    layer = UnMixNorm.from_batch_norm(batch_norm, num_clusters=K, rate=0.3)
    sd = batch_norm.running_var.sqrt()
    means = [batch_norm.running_mean + sd * offset for offset in layer.offset.double()]
    variances = [batch_norm.running_var / 2] * K
    for images in (4, 1, 7):
        x = torch.randn(images, C, 3, 5).double() * 3 + torch.randn(images, C, 1, 1)
        expected, belongings = loop(x, batch_norm, means, variances)
        torch.testing.assert_close(layer(x), expected)
        with following(layer), torch.set_grad_enabled(learns):
            torch.testing.assert_close(layer(x), expected)
        step = (1 - 0.7 ** (images / 64)) / images
        for k in range(K):
            means[k] = means[k] + step * sum(p[k] * (m - means[k]) for p, m, _ in belongings)
            var = variances[k]
            variances[k] = var + step * sum(p[k] * (v - var) for p, _, v in belongings)
        torch.testing.assert_close(layer.mixture().mean, torch.stack(means))
        torch.testing.assert_close(layer.mixture().var, torch.stack(variances) + EPS)
        p = torch.stack([p for p, _, _ in loop(x, batch_norm, means, variances)[1]])
        torch.testing.assert_close(layer.assignments(x.flatten(2))[:, :, 0, 0].T, p)


def test_the_components_have_the_moments_of_the_source_together():
    layer = UnMixNorm(300, num_clusters=8)
    between = layer.offset.square().mean() * 7 / 8
    assert abs(layer.offset.mean()) < 0.05 and abs(between - 0.5) < 0.03
    assert torch.equal(UnMixNorm(300, num_clusters=8).offset, layer.offset)


def test_one_component_starts_as_the_source():
    layer = UnMixNorm(C, num_clusters=1)
    assert not layer.offset.any() and (layer.spread == 1).all()


@pytest.mark.parametrize("shape", [(8, C), (8, C, 1, 1)])
def test_one_position_is_normalised_by_the_source(shape):
    batch_norm = source()
    layer = UnMixNorm.from_batch_norm(batch_norm)
    x = torch.randn(shape).double()
    before = layer.offset.clone()
    with following(layer):
        y = layer(x)
    flat = x if x.ndim == 4 else x[..., None, None]
    torch.testing.assert_close(y.reshape(flat.shape), batch_norm(flat))
    assert torch.equal(layer.offset, before)


def test_it_trains_as_batch_norm():
    ours, theirs = UnMixNorm(C), BatchNorm(C)
    x = torch.randn(8, C, 3, 3)
    assert torch.equal(ours(x), theirs(x))
    assert torch.equal(ours.running_moments()[1], theirs.running_var)


def test_gradients_reach_what_is_learned_while_it_follows():
    layer = UnMixNorm.from_batch_norm(source(), num_clusters=3)
    x = torch.randn(4, C, 3, 3).double().requires_grad_()
    with following(layer):
        layer(x).square().sum().backward()
    assert layer.weight.grad.abs().min() > 0 and x.grad.isfinite().all()


def test_gradients_of_a_single_image_are_those_of_two_alike():
    x, layer = torch.randn(1, C, 3, 5).double(), UnMixNorm.from_batch_norm(source(), num_clusters=K)
    found = []
    for copies in (1, 2):
        images, each = x.repeat(copies, 1, 1, 1).requires_grad_(), copy.deepcopy(layer)
        with following(each):
            each(images)[0].pow(3).sum().backward()
        found.append((images.grad[0], each.weight.grad))
    torch.testing.assert_close(found[0], found[1])


def test_an_image_that_is_not_finite_moves_nothing():
    layer = UnMixNorm.from_batch_norm(source())
    before = layer.offset.clone()
    with following(layer):
        layer(torch.full((2, C, 3, 3), float("nan"), dtype=torch.float64))
        assert torch.equal(layer.offset, before)
        layer(torch.tensor([1.0, float("inf")]).double()[:, None, None, None].expand(2, C, 3, 3))
    assert layer.offset.isfinite().all() and not torch.equal(layer.offset, before)
