"""What torch does to layers around them changes no normaliser's result."""

import copy
import warnings

import pytest
import torch
from norm_cases import ids_of, run, trained
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils.checkpoint import checkpoint

from dacbn.norms import UCBNorm, norms, share_context

each_norm = pytest.mark.parametrize("name", list(norms))
# Their gradient is that of another function: of a hash, of constants, or stopped at a border.
OWN_GRADIENT = {"random_gate_norm", "mixture_norm", "trans_norm"}
INSIDE_BORDER = {"auto_dial": ("alpha", 0.8), "batch_instance_norm": ("gate", 0.5)}
# With all their options that change how batches reach the running state.
CHECKPOINTED = [
    *((name, {}) for name in norms),
    ("batch_channel_norm", {"estimate": True}),
    *(
        ("ucb_norm", {"assign": assign, "update": update})
        for assign in ("channel", "position", "sample")
        for update in ("em", "learned", "hybrid")
    ),
]


def bound(layer, x):
    """Return the layer as a function of x alone."""
    share_context(layer)._ids = ids_of(x)
    return layer


@each_norm
def test_a_fake_batch_gives_a_fake_output_and_gradient(name):
    with FakeTensorMode():
        layer, x = norms[name](4), torch.empty(2, 4, requires_grad=True)
        y = run(layer, x)
        assert y.shape == x.shape
        y.sum().backward()
        assert x.grad.shape == x.shape


@each_norm
def test_a_traced_layer_computes_what_the_layer_does(name):
    layer = bound(trained(name).eval(), torch.empty(8, 4))
    x, other = torch.randn(8, 4, 3), torch.randn(8, 4, 3) * 2 + 1
    torch.testing.assert_close(make_fx(layer)(x)(other), layer(other))


def test_a_script_traced_from_ucb_norm_computes_what_the_layer_does():
    layer, x = trained("ucb_norm").eval(), torch.randn(8, 4, 3)
    with warnings.catch_warnings(action="ignore"):  # of what a trace cannot see, and its age
        traced = torch.jit.trace(layer, torch.randn(8, 4, 3))
    torch.testing.assert_close(traced(x), layer(x))


@each_norm
def test_functional_transforms_agree_with_autograd(name):
    layer, x = bound(trained(name).eval(), torch.empty(8, 4)), torch.randn(8, 4, 3)

    def loss(x):
        return layer(x).sin().sum()

    leaf = x.clone().requires_grad_()
    (wanted,) = torch.autograd.grad(loss(leaf), leaf)
    torch.testing.assert_close(torch.func.grad(loss)(x), wanted)
    two = torch.stack([x, x + 1])
    torch.testing.assert_close(
        torch.func.vmap(layer)(two), torch.stack([layer(each) for each in two])
    )


@pytest.mark.parametrize("name", ["batch_norm", "ucb_norm", "mixture_norm", "mode_norm"])
def test_statistics_that_a_transform_is_given_move_inside_of_it(name):
    layer, x = trained(name), torch.randn(8, 4, 3)
    state = {key: value.clone() for key, value in layer.named_buffers()}

    def loss(x):
        given = {key: value.clone() for key, value in state.items()}
        return torch.func.functional_call(layer, given, (x,)).sin().sum()

    leaf = x.clone().requires_grad_()
    (wanted,) = torch.autograd.grad(layer(leaf).sin().sum(), leaf)
    torch.testing.assert_close(torch.func.grad(loss)(x), wanted)


@each_norm
@pytest.mark.parametrize("training", [True, False])
def test_second_derivatives_are_those_of_finite_differences(name, training):
    if name in OWN_GRADIENT:
        pytest.skip("its gradient is not that of its output")
    _check_second_derivatives(trained(name).double(), name, training)


@pytest.mark.parametrize("assign", ["channel", "position", "sample"])
@pytest.mark.parametrize("update", ["em", "learned", "hybrid"])
@pytest.mark.parametrize("training", [True, False])
def test_second_derivatives_of_ucb_norm_are_right_for_every_mixture(assign, update, training):
    layer = UCBNorm(4, update=update, assign=assign, prior_scale=True).double()
    layer(torch.randn(8, 4, 3).double())
    _check_second_derivatives(layer, "ucb_norm", training)


def _check_second_derivatives(layer, name, training):
    parameter, value = INSIDE_BORDER.get(name, (None, None))
    if parameter is not None:
        nn.init.constant_(getattr(layer, parameter), value)
    x = torch.randn(6, 4, 3).double().requires_grad_()
    names = [key for key, _ in layer.named_parameters()]
    state = {key: each.clone() for key, each in layer.named_buffers()}
    bound(layer.train(training), x)

    def output(x, *values):
        for key, buffer in layer.named_buffers():
            buffer.data = state[key].clone()
        return torch.func.functional_call(layer, dict(zip(names, values, strict=True)), (x,)).sin()

    values = [each.detach().clone().requires_grad_() for each in layer.parameters()]
    assert torch.autograd.gradgradcheck(output, (x, *values), fast_mode=True)


def test_a_hessian_of_ucb_norm_is_that_of_finite_differences():
    layer, z = trained("ucb_norm").double().eval(), torch.randn(3, 4).double()

    def loss(z):
        return layer(z).sin().sum()

    found = torch.autograd.functional.hessian(loss, z).reshape(12, 12)
    columns = []
    for step in 1e-5 * torch.eye(12).double().reshape(12, 3, 4):
        gradients = [torch.autograd.functional.jacobian(loss, z + sign * step) for sign in (1, -1)]
        columns.append((gradients[0] - gradients[1]).flatten() / 2e-5)
    torch.testing.assert_close(found, torch.stack(columns, 1), rtol=1e-4, atol=1e-6)
    assert found.abs().max() > 0.1


@pytest.mark.parametrize(("name", "options"), CHECKPOINTED)
@pytest.mark.parametrize("batches", [0, 3])
@pytest.mark.parametrize("use_reentrant", [True, False])
def test_checkpointing_changes_neither_gradients_nor_statistics(
    name, options, batches, use_reentrant
):
    layer = norms[name](4, **options)
    for shift in range(batches):
        run(layer, torch.randn(16, 4, 5) + shift)
    twin = copy.deepcopy(layer)
    source, target = torch.randn(16, 4, 5), torch.randn(16, 4, 5) + 4
    results = []
    for each, keeps in ((layer, True), (twin, False)):
        bound(each, source)
        leaves = [x.clone().requires_grad_() for x in (source, target)]
        outputs = [
            each(x) if keeps else checkpoint(each, x, use_reentrant=use_reentrant) for x in leaves
        ]
        for y in outputs:  # in the order of the passes: each has moved the statistics since
            y.pow(3).sum().backward()
        results.append([*(x.grad for x in leaves), *(p.grad for p in each.parameters())])
    for wanted, found in zip(*results, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-3)
    for key, value in layer.state_dict().items():
        assert torch.equal(twin.state_dict()[key], value), key


def test_training_in_a_backward_pass_without_the_first_pass_is_refused():
    layer, x = UCBNorm(4), torch.randn(8, 4, requires_grad=True)
    layer(torch.randn(8, 4))
    x.register_hook(lambda gradient: layer(gradient))
    with pytest.raises(RuntimeError, match=r"has not seen the pass.*torch\.utils\.checkpoint"):
        x.sum().backward()


@each_norm
def test_a_training_pass_leaves_an_evaluation_pass_its_gradient(name):
    layer = trained(name)
    twin, x = copy.deepcopy(layer), torch.randn(8, 4, 3)
    results = []
    for each, trains in ((layer, False), (twin, True)):
        leaf = x.clone().requires_grad_()
        loss = run(each.eval(), leaf).square().sum()
        if trains:
            run(each.train(), torch.randn(8, 4, 3) * 3 + 2)
        loss.backward()
        results.append([leaf.grad, *(p.grad for p in each.parameters())])
    for wanted, found in zip(*results, strict=True):
        assert wanted is None or torch.equal(found, wanted)


@each_norm
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", [(16, 4, 5, 3)])
def test_a_layer_in_half_precision_is_the_layer_of_its_rounded_state(name, dtype, training, shape):
    layer = trained(name, shape).to(dtype)
    exact = copy.deepcopy(layer).float().train(training)
    layer.train(training)
    x = (torch.randn(shape) * 2 + 1).to(dtype)
    for given in (x, x.float()):
        leaf = given.clone().requires_grad_()
        y, wanted = run(copy.deepcopy(layer), leaf), run(copy.deepcopy(exact), given.float())
        assert y.dtype == given.dtype
        torch.testing.assert_close(y.float(), wanted, rtol=2e-2, atol=4e-2)
        y.float().sin().sum().backward()
        assert leaf.grad.isfinite().all()


@each_norm
@pytest.mark.parametrize("value", [1e18, 1e30])
@pytest.mark.parametrize("batches", [0, 2])
def test_a_batch_that_overflows_does_not_spoil_evaluation_for_ever(name, value, batches):
    layer = norms[name](4)
    for _ in range(batches):
        run(layer, torch.randn(8, 4, 5))
    x = torch.randn(8, 4, 5)
    x[3] *= value
    run(layer, x)
    run(layer, torch.randn(8, 4, 5))
    assert run(layer.eval(), torch.randn(8, 4, 5)).isfinite().all()


@pytest.mark.parametrize("value", [torch.inf, torch.nan, 1e30])
def test_what_overflows_does_not_enter_a_mixture(value):
    layer = trained("ucb_norm")
    before = {key: state.clone() for key, state in layer.state_dict().items()}
    x = torch.randn(8, 4)
    x[2, 1] = value
    layer(x)
    for key in ("running.mean", "running.var", "running.prior"):
        moved = (layer.state_dict()[key] != before[key]).any(0)
        assert moved.tolist() == [True, False, True, True]


@each_norm
@pytest.mark.parametrize("training", [True, False])
def test_channels_last_of_volumes_come_out_as_they_went_in(name, training):
    layer = trained(name).train(training)
    x = torch.randn(8, 4, 3, 2, 2).contiguous(memory_format=torch.channels_last_3d)
    assert run(layer, x).is_contiguous(memory_format=torch.channels_last_3d)


@each_norm
@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64])
def test_what_is_no_real_number_is_refused(name, dtype):
    with pytest.raises(TypeError, match="expects floating-point numbers"):
        run(norms[name](4), torch.ones(8, 4).to(dtype))
