"""The package's BatchNorm is torch's, save where torch gives up."""

import pytest
import torch
from torch import nn

from dacbn.norms import BatchNorm

SHAPES = [(16, 5), (8, 5, 7), (4, 5, 6, 7), (3, 5, 2, 3, 4)]
TORCH = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("affine", [True, False])
def test_it_is_torchs_batch_norm(shape, affine):
    theirs = TORCH[len(shape)](5, momentum=0.3, eps=0.01, affine=affine)
    ours = BatchNorm(5, momentum=0.3, eps=0.01, affine=affine)
    for _ in range(3):
        x = torch.randn(shape) * 2 + 1
        torch.testing.assert_close(ours(x), theirs(x))
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    for name, value in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], value)
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x))


def test_a_single_value_is_normalised_by_what_is_known_and_teaches_nothing():
    layer = BatchNorm(3)
    layer(torch.randn(20, 3) * 4 + 2)
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    x = torch.randn(1, 3)
    wanted = (x - before["running_mean"]) / (before["running_var"] + layer.eps).sqrt()
    torch.testing.assert_close(layer(x), wanted)
    for name, value in layer.state_dict().items():
        assert torch.equal(value, before[name])
