"""Every normaliser passes torch's generic checks of layers, on the inputs of torch's normalisers.

The inputs are those of torch.testing._internal.common_modules for BatchNorm, GroupNorm,
InstanceNorm and LayerNorm; the checks are those of its test_modules.py that have a meaning here.
"""

import copy
import pickle

import pytest
import torch
from norm_cases import run
from torch_module_inputs import norm_inputs

from dacbn.norms import norms

# Their gradient is that of another function: of a hash, of constants, or stopped at a border.
OWN_GRADIENT = {
    "auto_dial",
    "batch_instance_norm",
    "mixture_norm",
    "random_gate_norm",
    "trans_norm",
}
INPUTS = norm_inputs()

pytestmark = [
    pytest.mark.parametrize("name", list(norms)),
    pytest.mark.parametrize("described", list(INPUTS)),
]


@pytest.fixture
def case(name, described):
    """Return a layer in float64 that has seen one batch, and that batch."""
    x = INPUTS[described]
    layer = norms[name](x.shape[1], dtype=torch.float64)
    run(layer, x)
    return layer, x


def state_of(layer):
    return {key: value.clone() for key, value in layer.state_dict().items()}


def test_forward_keeps_shape_and_type_in_both_modes(case):
    layer, x = case
    for training in (True, False):
        for dtype in (torch.float64, torch.float32, torch.bfloat16):
            y = run(copy.deepcopy(layer).train(training), x.to(dtype))
            assert y.shape == x.shape and y.dtype == dtype and y.isfinite().all()


def test_factory_keywords_place_everything(name, described):
    channels = INPUTS[described].shape[1]
    layer = norms[name](channels, device="meta", dtype=torch.float16)
    assert all(value.is_meta for value in layer.state_dict().values())
    assert all(value.dtype == torch.float16 for value in layer.parameters())


def test_a_pickled_and_a_copied_layer_go_on_like_the_layer(case):
    layer, x = case
    twins = [pickle.loads(pickle.dumps(layer)), copy.deepcopy(layer)]
    wanted = run(layer, x)
    for twin in twins:
        assert torch.equal(run(twin, x), wanted)
        assert all(
            torch.equal(value, state_of(layer)[key]) for key, value in state_of(twin).items()
        )


def test_values_apart_in_memory_give_the_same_output_and_gradients(case):
    layer, x = case
    apart = torch.stack([x, torch.full_like(x, torch.nan)], -1)[..., 0]
    assert x.numel() == 0 or not apart.is_contiguous()
    results = []
    for given in (x, apart):
        twin = copy.deepcopy(layer)
        leaf = given.detach().requires_grad_()
        y = run(twin, leaf)
        weights = torch.stack([torch.ones_like(y) * 0.5, y.detach()], -1)[..., 1]
        (y * weights).sum().backward()
        results.append([y, leaf.grad, *(each.grad for each in twin.parameters())])
    for wanted, found in zip(*results, strict=True):
        torch.testing.assert_close(found, wanted)


def test_memory_format_changes_nothing_and_is_kept(case):
    layer, x = case
    form = {4: torch.channels_last, 5: torch.channels_last_3d}.get(x.ndim)
    if form is None:
        pytest.skip("has no other format")
    twin = copy.deepcopy(layer)
    y = run(layer, x.contiguous(memory_format=form))
    assert y.is_contiguous(memory_format=form)
    torch.testing.assert_close(y, run(twin, x))


def test_an_empty_batch_gives_an_empty_output_and_moves_nothing_to_nan(case):
    layer, x = case
    y = run(layer, x[:0].requires_grad_())
    assert y.shape == x[:0].shape
    y.sum().backward()
    assert all(value.isfinite().all() for value in layer.state_dict().values())


def test_first_and_second_derivatives_are_those_of_finite_differences(case, name):
    if name in OWN_GRADIENT:
        pytest.skip("its gradient is not that of its output")
    layer, x = case
    names, state = [key for key, _ in layer.named_parameters()], state_of(layer)
    values = [each.detach().clone().requires_grad_() for each in layer.parameters()]

    def output(x, *values):
        for key, buffer in layer.named_buffers():
            buffer.data = state[key].clone()
        with torch.nn.utils.stateless._reparametrize_module(
            layer, dict(zip(names, values, strict=True))
        ):
            return run(layer, x)

    inputs = (x.clone().requires_grad_(), *values)
    for training in (True, False):
        layer.train(training)
        assert torch.autograd.gradcheck(output, inputs, fast_mode=True)
        assert torch.autograd.gradgradcheck(output, inputs, fast_mode=True)
