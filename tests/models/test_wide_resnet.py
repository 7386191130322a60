"""The wide residual network: its size, its blocks, and its place among the backbones."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from dacbn.models import convert_norms, create_network
from dacbn.models.wide_resnet import WideBlock, WideResNet


def test_it_has_as_many_parameters_as_published():
    network = create_network("wide_resnet28_2", None, 10)
    assert sum(p.numel() for p in network.parameters()) == 1_467_610


def test_it_has_28_layers_that_are_normalised_slowly_and_leak():
    backbone = WideResNet()
    kernels = [m.kernel_size for m in backbone.modules() if isinstance(m, nn.Conv2d)]
    assert kernels.count((3, 3)) == 25 and kernels.count((1, 1)) == 3
    assert {m.momentum for m in backbone.modules() if isinstance(m, nn.BatchNorm2d)} == {0.001}
    assert {m.negative_slope for m in backbone.modules() if isinstance(m, nn.LeakyReLU)} == {0.1}


@pytest.mark.parametrize("size", [16, 28, 32])
def test_small_images_become_its_features(size):
    backbone = WideResNet().eval()
    images = torch.rand(2, 3, size, size)
    assert backbone(images).shape == (2, backbone.head_hidden_size)
    grid = backbone.stages(backbone.first(images))
    assert grid.shape[-1] == -(-size // 4)
    last = F.leaky_relu(backbone.last[0](grid), 0.1).mean((2, 3))
    torch.testing.assert_close(backbone(images), last)


@pytest.mark.parametrize(("width_in", "width", "stride"), [(4, 4, 1), (4, 6, 2), (4, 6, 1)])
def test_a_block_activates_before_it_convolves(width_in, width, stride):
    block, x = WideBlock(width_in, width, stride), torch.randn(3, width_in, 8, 8)

    def activate(z):
        z = (z - z.mean((0, 2, 3), keepdim=True)) / (
            z.var((0, 2, 3), keepdim=True, correction=0) + 1e-5
        ).sqrt()
        return torch.where(z > 0, z, 0.1 * z)

    first, _, second = block.convolutions
    activated = activate(x)
    y = F.conv2d(activated, first.weight, stride=stride, padding=1)
    y = F.conv2d(activate(y), second.weight, padding=1)
    same = stride == 1 and width_in == width
    skipped = x if same else F.conv2d(activated, block.skip.weight, stride=stride)
    torch.testing.assert_close(block(x), skipped + y, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("norm", ["ucb_norm", "kalman_norm", "batch_norm"])
def test_its_normalisers_can_be_replaced(norm):
    backbone = WideResNet()
    convert_norms(backbone, norm)
    assert not any(type(layer) is nn.BatchNorm2d for layer in backbone.modules())
    assert backbone(torch.rand(3, 3, 16, 16)).shape == (3, 128)
