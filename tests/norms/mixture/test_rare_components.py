"""Components with next to no data have the gradients of the definition, whoever asks for them."""

import pytest
import torch

from dacbn.norms.contract import norms

PSEUDO_COUNT = 1e-5  # of the moments before the batch, in those of the batch
NAMES = ["mixture_norm", "ucb_norm(assign='position')", "ucb_norm"]


def by_definition(name, layer, x):
    """Normalise x (N, C) in float64, from the moments before the batch."""
    running = layer.running
    state = running.prior, running.mean, running.var, layer.weight, layer.bias
    prior, before, before_var, weight, bias = (each.detach().double() for each in state)
    u = x - before[:, None]  # (K, N, C), like all that has three dimensions
    width = before_var[:, None] + layer.eps
    density = -0.5 * (u.square() / width + width.log())
    if name != "ucb_norm":
        density = density.sum(2, keepdim=True)
    r = (prior[:, None].log() + density).softmax(0)
    if name == "mixture_norm":
        r = r.detach()
    mass = r.sum(1)
    mean = ((r * x).sum(1) + PSEUDO_COUNT * before) / (mass + PSEUDO_COUNT)
    u = x - mean[:, None]
    var = ((r * u.square()).sum(1) + PSEUDO_COUNT * before_var) / (mass + PSEUDO_COUNT)
    if name == "mixture_norm":
        var = var.maximum(1e-3 * x.var(0, correction=0))
        r = r / (mass / len(x)).clamp_min(1e-6).sqrt()[:, None]
    return (r * u / (var + layer.eps).sqrt()[:, None]).sum(0) * weight + bias


def draw(name):
    """Return a layer, and a batch of which one component has one value and one nearly nothing."""
    layer = norms.build(name, 2)
    layer(torch.randn(20, 2))  # the first batch starts the components
    with torch.no_grad():
        layer.running.prior.copy_(torch.tensor([0.7, 0.2, 0.1])[:, None])
        layer.running.mean.copy_(torch.tensor([0.0, 5.0, -2.0])[:, None] + 0.1 * torch.randn(3, 2))
        layer.running.var.copy_(torch.rand(3, 2) + 0.3)
        layer.weight.normal_()
    return layer, torch.cat([0.5 * torch.randn(5, 2), torch.full((1, 2), 4.0)])


def assert_close(found, wanted):
    # the one value of a component is next to its mean, and their difference is rounded
    assert (found - wanted).abs().max() <= 2e-4 * wanted.abs().max()


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_those_of_the_definition_in_double(name):
    layer, x = draw(name)
    outer = torch.randn(6, 2)
    leaf, wide = x.clone().requires_grad_(), x.double().requires_grad_()
    wanted = by_definition(name, layer, wide)
    (exact,) = torch.autograd.grad(wanted, wide, outer.double(), create_graph=True)
    (second,) = torch.autograd.grad(exact.square().sum(), wide)
    y = layer(leaf)
    assert_close(y, wanted)
    (batched,) = torch.autograd.grad(y, leaf, outer[None], retain_graph=True, is_grads_batched=True)
    (found,) = torch.autograd.grad(y, leaf, outer, create_graph=True)
    (plain,) = torch.autograd.grad(y, leaf, outer, retain_graph=True)
    for each in (plain, found, batched[0]):
        assert_close(each, exact)
    assert_close(*torch.autograd.grad(found.square().sum(), leaf), second)
