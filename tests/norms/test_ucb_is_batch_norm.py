"""With one component, UCB-Norm is torch's BatchNorm, bit by bit of its behaviour."""

import pytest
import torch
from torch import nn

from dacbn.norms import UCBNorm

SHAPES = [(16, 5), (8, 5, 7), (4, 5, 6, 7), (3, 5, 2, 3, 4)]
TORCH = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}


def pair(shape, update="em", assign="channel", **options):
    """Return torch's layer and ours, with the same random affine."""
    theirs = TORCH[len(shape)](shape[1], **options)
    ours = UCBNorm(shape[1], num_clusters=1, update=update, assign=assign, **options)
    with torch.no_grad():
        for layer in (theirs, ours):
            layer.weight.copy_(torch.linspace(-1, 2, shape[1]))
            layer.bias.copy_(torch.linspace(3, -1, shape[1]))
    return theirs, ours


def activations(shape):
    scale = torch.linspace(0.5, 4, shape[1]).reshape(-1, *[1] * (len(shape) - 2))
    return torch.randn(shape) * scale + 2 * scale


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("update", ["em", "hybrid"])
@pytest.mark.parametrize("assign", ["channel", "position", "sample"])
def test_one_cluster_is_batch_norm(shape, update, assign):
    theirs, ours = pair(shape, update, assign)
    for _ in range(5):
        x = activations(shape)
        torch.testing.assert_close(ours(x), theirs(x), atol=2e-5, rtol=1e-5)
    torch.testing.assert_close(ours.running.mean[0], theirs.running_mean, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ours.running.var[0], theirs.running_var, atol=1e-5, rtol=1e-5)
    assert ours.running.num_batches_tracked == theirs.num_batches_tracked
    x = activations(shape)
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x), atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("training", [True, False])
def test_one_cluster_has_the_gradients_of_batch_norm(shape, training):
    theirs, ours = pair(shape)
    weights, gradients = torch.randn(shape), []
    for layer in (theirs, ours):
        layer(activations(shape) * 0 + torch.linspace(-2, 5, weights.numel()).reshape(shape).sin())
        x = torch.linspace(-2, 5, weights.numel()).reshape(shape).cos().requires_grad_()
        (layer.train(training)(x) * weights).sum().backward()
        gradients.append((x.grad, layer.weight.grad, layer.bias.grad))
    for theirs_gradient, ours_gradient in zip(*gradients, strict=True):
        torch.testing.assert_close(ours_gradient, theirs_gradient, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("momentum", [0.03, 0.5, 1.0])
def test_momentum_means_what_it_means_in_torch(momentum):
    theirs, ours = pair((16, 5), momentum=momentum)
    for _ in range(3):
        x = activations((16, 5))
        theirs(x), ours(x)
    torch.testing.assert_close(ours.running.mean[0], theirs.running_mean, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ours.running.var[0], theirs.running_var, atol=1e-5, rtol=1e-5)


def test_eps_means_what_it_means_in_torch():
    theirs, ours = pair((16, 5), eps=0.5)
    x = activations((16, 5))
    torch.testing.assert_close(ours(x), theirs(x))
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x))
