"""What a mixture normaliser of one component has to do: the same as torch's BatchNorm."""

import torch
from torch import nn

TORCH = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}


def check_one_component(ours, shape, training):
    """Compare output, gradients and running moments of a layer of 5 channels, momentum 0.3."""
    theirs = TORCH[len(shape)](5, momentum=0.3)
    x = torch.randn(shape) * 3 + 2
    for layer in (theirs, ours):
        layer.weight.data.copy_(torch.linspace(-1, 2, 5))
        layer(x), layer(x - 1)
    gradients = []
    for layer in (theirs, ours):
        layer.train(training)
        mine = x.clone().requires_grad_()
        y = layer(mine)
        (y * torch.linspace(-2, 5, x.numel()).reshape(shape).sin()).sum().backward()
        gradients.append((y, mine.grad, layer.weight.grad, layer.bias.grad))
    for found, wanted in zip(gradients[1], gradients[0], strict=True):
        torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(ours.running.mean[0], theirs.running_mean)
    torch.testing.assert_close(ours.running.var[0], theirs.running_var)
