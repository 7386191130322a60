"""Folding a normaliser into the layer before it, as torch does with BatchNorm."""

import copy

import pytest
import torch
from norm_cases import run
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from dacbn.norms import norms

HIDDEN = ["batch_channel_norm", "prediction_time_batch_norm", "switchable_norm"]
FOLDABLE = {"batch_norm", "kalman_norm", "robust_batch_norm"}
BEFORE = {
    "conv": (nn.Conv2d(3, 8, 3), (6, 3, 5, 5), fuse_conv_bn_eval),
    "linear": (nn.Linear(3, 8), (6, 3), fuse_linear_bn_eval),
}


@pytest.mark.parametrize("name", list(norms))
@pytest.mark.parametrize("before", list(BEFORE))
def test_folding_is_right_or_refused(name, before):
    torch.manual_seed(0)
    module, shape, fold = BEFORE[before]
    module, layer = copy.deepcopy(module), norms[name](8)
    for _ in range(3):
        run(layer, module(2 * torch.randn(shape) + 1))
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    module.eval(), layer.eval()
    if name not in FOLDABLE:
        with pytest.raises((AttributeError, RuntimeError), match=r"no (attribute ')?running_"):
            fold(module, layer)
        return
    x = torch.randn(shape)
    torch.testing.assert_close(fold(module, layer)(x), layer(module(x)), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", HIDDEN)
def test_files_with_the_former_name_of_a_variance_load(name):
    layer, fresh = norms[name](4), norms[name](4)
    for _ in range(3):
        layer(torch.randn(8, 4, 5) * 3 + 1)
    state = layer.state_dict()
    older = {key.replace("running_variance", "running_var"): state[key] for key in state}
    assert "running_var" in older and older.keys() != state.keys()
    nn.Sequential(fresh).load_state_dict({f"0.{key}": value for key, value in older.items()})
    assert all(torch.equal(value, state[key]) for key, value in fresh.state_dict().items())
    nn.Sequential(fresh).load_state_dict({f"0.{key}": value for key, value in state.items()})
    assert "running_var" in older  # what is loaded stays as it is
