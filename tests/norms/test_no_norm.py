"""No normalisation, with a BatchNorm folded in."""

import pytest
import timm
import torch
from torch import nn

from dacbn.models import convert_norms
from dacbn.norms import NoNorm


def trained_batch_norm(affine=True):
    layer = nn.BatchNorm2d(4, eps=0.1, affine=affine)
    for _ in range(10):
        layer(torch.randn(8, 4, 3, 3) * torch.tensor([1.0, 3, 0.2, 5])[:, None, None] + 2)
    if affine:
        nn.init.uniform_(layer.weight, -2, 2), nn.init.uniform_(layer.bias, -2, 2)
    return layer.eval()


@pytest.mark.parametrize("shape", [(5, 4), (5, 4, 3), (5, 4, 3, 2)])
def test_it_scales_and_shifts_and_does_nothing_else(shape):
    layer, x = NoNorm(4), torch.randn(shape) * 50
    assert torch.equal(layer(x), x)
    nn.init.constant_(layer.weight, 3), nn.init.constant_(layer.bias, -1)
    torch.testing.assert_close(layer(x), 3 * x - 1)


def test_a_trained_batch_norm_is_folded_in_exactly():
    theirs = trained_batch_norm()
    ours, x = NoNorm.from_batch_norm(theirs), torch.randn(6, 4, 3, 3) * 4 + 1
    torch.testing.assert_close(ours(x), theirs(x))
    torch.testing.assert_close(ours.train()(x), theirs(x))


def test_a_silent_batch_norm_stays_silent():
    theirs = trained_batch_norm()
    nn.init.zeros_(theirs.weight)
    assert NoNorm.from_batch_norm(theirs).weight.eq(0).all()


def test_an_untrained_one_leaves_nothing_behind():
    ours = NoNorm.from_batch_norm(nn.BatchNorm2d(4, eps=0.5))
    assert ours.weight.eq(1).all() and ours.bias.eq(0).all()


def test_without_an_affine_there_is_nothing_to_fold_into():
    ours = NoNorm.from_batch_norm(trained_batch_norm(affine=False))
    x = torch.randn(6, 4)
    assert torch.equal(ours(x), x)


def test_a_trained_network_keeps_its_function():
    model = timm.create_model("resnet18", num_classes=0)
    for _ in range(2):
        model(torch.randn(4, 3, 32, 32))
    x = torch.randn(2, 3, 32, 32)
    wanted = model.eval()(x)
    report = convert_norms(model, "no_norm")
    assert report.carried == ("affine", "statistics")
    torch.testing.assert_close(model(x), wanted, rtol=1e-3, atol=1e-3)
