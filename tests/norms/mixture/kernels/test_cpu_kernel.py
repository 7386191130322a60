"""The C kernel and chunked torch agree with autograd in float64 for mixtures per channel."""

import copy

import pytest
import torch
from mixture_cases import (
    as_records,
    assert_close,
    by_definition,
    channels_last,
    doubled,
    draw_tables,
    evaluate,
    in_passes,
    operate,
)

from dacbn.norms import UCBNorm
from dacbn.norms.mixture.arguments import Affine, Components, Gate, Options
from dacbn.norms.mixture.channel_steps import channel_step
from dacbn.norms.mixture.kernels.cpu import Kernel, fused_forward
from dacbn.norms.mixture.normalise import normalise_by_mixture
from dacbn.norms.mixture.operators import forward_operator
from dacbn.processes.share import running, share_out

# Whole and partial vectors, channels that share a vector, several tiles, rows used in place.
SHAPES = [
    (5, 6),
    (300, 21),
    (6, 5, 3),
    (7, 24, 2, 2),
    (3, 5, 7, 7),
    (2, 3, 32, 32),
    (2, 3, 4, 5, 3),
]
# By the moments of the batch, at once or as processes that share it do; or by given moments.
WAYS = [(True, normalise_by_mixture), (True, in_passes), (False, normalise_by_mixture)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("lay_out", [torch.clone, channels_last])
@pytest.mark.parametrize(("from_batch", "function"), WAYS)
def test_all_results_are_those_of_autograd_in_double(path, shape, lay_out, from_batch, function):
    x, tables = lay_out(torch.randn(shape) * 1.5 + 0.5), draw_tables(3, shape[1])
    gradient = torch.randn(shape)
    found = evaluate(function, x, tables, gradient, from_batch)
    wanted = evaluate(by_definition, x.double(), doubled(tables), gradient.double(), from_batch)
    assert found["y"].stride() == x.stride() == found["d x"].stride()
    assert_close(found, wanted)


@pytest.mark.parametrize("clusters", [1, 16, 17])
@pytest.mark.parametrize(("from_batch", "function"), WAYS)
def test_any_number_of_components(path, clusters, from_batch, function):
    x, tables, gradient = torch.randn(5, 6, 49), draw_tables(clusters, 6), torch.randn(5, 6, 49)
    found = evaluate(function, x, tables, gradient, from_batch)
    wanted = evaluate(by_definition, x.double(), doubled(tables), gradient.double(), from_batch)
    assert_close(found, wanted)


def test_a_sliced_input_and_an_expanded_gradient(path):
    x, tables = torch.randn(6, 4, 5, 3).transpose(0, 2)[:, :, 1:], draw_tables(3, 4)
    gradient = torch.randn(1, *x.shape[1:]).expand(x.shape)
    found = evaluate(normalise_by_mixture, x, tables, gradient, True)
    wanted = evaluate(by_definition, x.double(), doubled(tables), gradient.double(), True)
    assert_close(found, wanted)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_converted_a_few_channels_at_a_time(dtype, monkeypatch):
    monkeypatch.setattr("dacbn.norms.mixture.by_channel.CPU_CHUNK", 2000)
    x, tables = torch.randn(3, 5, 7, 7).to(dtype), draw_tables(3, 5)
    gradient = torch.randn(x.shape).to(dtype)
    found = evaluate(operate, x, tables, gradient, True)
    wanted = evaluate(by_definition, x.double(), doubled(tables), gradient.double(), True)
    assert found["y"].dtype == found["d x"].dtype == dtype
    for name, value in wanted.items():  # only what is as large as x is rounded
        rounded = name in ("y", "d x")
        assert_close({name: found[name]}, {name: value}, 4e-3 if rounded else 1e-5)


@pytest.mark.parametrize(("from_batch", "function"), WAYS)
def test_gradients_in_double_are_those_of_finite_differences(from_batch, function):
    tables = {name: value.requires_grad_() for name, value in doubled(draw_tables(3, 2)).items()}
    x = torch.randn(3, 2, 4, dtype=torch.float64, requires_grad=True)

    def forward(x, *values):
        records = as_records(dict(zip(tables, values, strict=True)), from_batch)
        return function(x, *records, Options(1e-5, from_batch))[0]

    assert torch.autograd.gradcheck(forward, (x, *tables.values()))


def plainly(x, *rest):
    """Normalise by the formulas and autograd, in float32."""
    y, *moments = by_definition(x.float(), *rest)
    return y.to(x.dtype), *moments


@pytest.mark.parametrize("update", ["em", "learned", "hybrid"])
@pytest.mark.parametrize("prior_scale", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_layers_train_and_evaluate_as_with_plain_torch(
    path, monkeypatch, update, prior_scale, dtype
):
    layer = UCBNorm(6, update=update, prior_scale=prior_scale)
    twin = copy.deepcopy(layer)
    for training in (True, True, True, False):
        x = (torch.randn(8, 6, 5, 5) * 2 + 1).to(dtype)
        results = []
        monkeypatch.setattr("dacbn.norms.ucb_norm.channel_step", channel_step)
        for each, function in ((layer, normalise_by_mixture), (twin, plainly)):
            monkeypatch.setattr("dacbn.norms.ucb_norm.normalise_by_mixture", function)
            if each is twin:  # which no compiled code takes past that function
                monkeypatch.setattr("dacbn.norms.ucb_norm.channel_step", lambda *_: None)
            values, leaf = each.train(training), x.clone().requires_grad_()
            y = values(leaf)
            each.zero_grad()
            y.float().sin().sum().backward()
            gradients = {f"d {name}": value.grad for name, value in each.named_parameters()}
            results.append({"y": y, "d x": leaf.grad} | gradients | dict(each.named_buffers()))
        rounded = dtype == torch.bfloat16
        for name in results[1]:
            assert results[0][name].dtype == results[1][name].dtype
        # a rounding error may end up on either side of one of bfloat16's
        assert_close(*results, tolerance=1e-2 if rounded else 2e-5)
        twin.load_state_dict(layer.state_dict())


@pytest.mark.parametrize("function", [normalise_by_mixture, in_passes])
def test_the_batchs_moments_are_exact_however_stale_the_mixture(path, function):
    x, tables = torch.randn(50, 4, 20) * 1e-2 + 1e3, draw_tables(3, 4)
    del tables["scale"], tables["weight"], tables["bias"]
    y, share, mean, var = function(x, *as_records(tables), Options(1e-12, True))
    flat = x.double().transpose(0, 1).flatten(1)
    holder = share.argmax(0)[None]  # so far out, one component has all values
    held = mean.gather(0, holder)[0], var.gather(0, holder)[0]
    torch.testing.assert_close(held[0].double(), flat.mean(1), rtol=1e-6, atol=0)
    torch.testing.assert_close(held[1].double(), flat.var(1, correction=0), rtol=1e-2, atol=0)
    assert y.isfinite().all()


@pytest.mark.parametrize("far", [1e3, 1e6, 1e9])
def test_outliers_belong_to_the_widest_component(path, far):
    x = torch.full((4, 3, 8), far).requires_grad_()
    means, wide = torch.zeros(2, 3), torch.tensor([[1.0], [4.0]]).expand(2, 3)
    gate = Gate(torch.full((2, 3), 0.5).log(), means, wide)
    components, options = Components(means, wide), Options(0.0, False)
    y, *_ = normalise_by_mixture(x, gate, components, Affine(), options)
    torch.testing.assert_close(y, x / 2)
    y.sum().backward()
    torch.testing.assert_close(x.grad, torch.full_like(x, 0.5))


@pytest.mark.parametrize("away", [8.0, 30.0, 1e4])
@pytest.mark.parametrize("from_batch", [True, False])
def test_values_far_from_the_first_component_are_shared_by_the_others(path, away, from_batch):
    x, tables = away + torch.randn(6, 5, 40), draw_tables(4, 5)
    tables["gate_mean"] = torch.tensor([0.0, away, away + 1, -away])[:, None].expand(4, 5).clone()
    tables["mean"] = tables["gate_mean"] + 0.1
    gradient = torch.randn(x.shape)
    found = evaluate(normalise_by_mixture, x, tables, gradient, from_batch)
    wanted = evaluate(by_definition, x.double(), doubled(tables), gradient.double(), from_batch)
    for name in ("share", "y", "d x"):
        if name in wanted:
            assert_close({name: found[name]}, {name: wanted[name]}, 2e-5 + 1e-7 * away)


@pytest.mark.parametrize("function", [normalise_by_mixture, in_passes])
def test_a_component_without_data_keeps_its_moments(path, function):
    means, var = torch.tensor([[0.0], [1e4]]), torch.tensor([[1.0], [0.5]])
    gate = Gate(torch.full((2, 1), 0.5).log(), means, var)
    components, options = Components(means, var), Options(1e-5, True)
    x = torch.randn(9, 1)
    _, share, mean, kept = function(x, gate, components, Affine(), options)
    assert share[1] == 0 and mean[1] == 1e4
    torch.testing.assert_close(kept[1], var[1])


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("shape", [(8, 40), (8, 3, 5), (4, 3, 32, 32)])
def test_nan_and_infinity_make_their_channel_nan_and_no_other(path, bad, shape):
    layer, x = UCBNorm(shape[1]).train(), torch.randn(shape)
    layer(x)
    x[2, 1] = bad
    y = layer(x).transpose(0, 1).flatten(1)
    assert y[1].isnan().all()
    assert y[torch.arange(shape[1]) != 1].isfinite().all()


def test_the_number_of_threads_changes_nothing():
    x, tables, gradient = torch.randn(64, 24, 64), draw_tables(3, 24), torch.randn(64, 24, 64)
    results = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        results.append(evaluate(normalise_by_mixture, x, tables, gradient, True))
    torch.set_num_threads(1)
    for name, value in results[0].items():
        assert value is None or torch.equal(value, results[1][name])


def test_a_forward_without_gradients_keeps_nothing(path):
    x, records = torch.randn(8, 4, 5), as_records(draw_tables(3, 4))
    y, *moments = normalise_by_mixture(x, *records, Options(1e-5, True))
    assert not any(value.requires_grad for value in (y, *moments))


@pytest.mark.parametrize("shape", [(8, 6), (8, 6, 5, 5)])
@pytest.mark.parametrize("lay_out", [torch.clone, channels_last])
def test_the_output_may_be_changed_in_place(path, shape, lay_out):
    layer, x = UCBNorm(6), lay_out(torch.randn(shape)).requires_grad_()
    layer(x)  # initialises the components
    twin = copy.deepcopy(layer)
    layer(x).relu_().square().sum().backward()
    found, x.grad = x.grad, None
    twin(x).relu().square().sum().backward()
    assert torch.equal(found, x.grad)


@pytest.mark.parametrize(("from_batch", "function"), WAYS)
def test_a_second_derivative_is_that_of_autograd_in_double(path, from_batch, function):
    x, tables = torch.randn(6, 4, 5), draw_tables(3, 4)
    results = []
    for one, start in (
        (function, (x, tables)),
        (by_definition, (x.double(), doubled(tables))),
    ):
        leaves = {"x": start[0], **start[1]}
        leaves = {name: value.detach().requires_grad_() for name, value in leaves.items()}
        records = as_records(leaves, from_batch)
        y, *_ = one(leaves["x"], *records, Options(1e-5, from_batch))
        (first,) = torch.autograd.grad(y.sin().sum(), leaves["x"], create_graph=True)
        grads = torch.autograd.grad(first.square().sum(), leaves.values(), allow_unused=True)
        results.append(dict(zip(leaves, grads, strict=True)))
    assert_close(*results, tolerance=1e-4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("update", ["em", "learned", "hybrid"])
@pytest.mark.parametrize("training", [True, False])
def test_parameters_and_buffers_of_different_types_are_computed_in_the_wider_one(
    path, dtype, update, training
):
    layer, x = UCBNorm(64, update=update), torch.randn(16, 64) * 2 + 1
    layer(x)
    for parameter in layer.parameters():
        parameter.data = parameter.data.to(dtype)
    exact = copy.deepcopy(layer.train(training)).double()
    for given in (x, x.to(dtype)):
        results = []
        for each, leaf in ((copy.deepcopy(layer), given), (copy.deepcopy(exact), given.double())):
            leaf = leaf.clone().requires_grad_()
            y = each(leaf)
            y.sin().sum().backward()
            assert y.dtype == leaf.dtype
            gradients = {f"d {name}": value.grad for name, value in each.named_parameters()}
            results.append({"y": y, "d x": leaf.grad} | gradients)
        narrow = torch.bfloat16 in (dtype, given.dtype)
        assert_close(*results, tolerance=2e-2 if narrow else 2e-3)


def test_c_refuses_what_it_would_read_wrongly():
    kernel = Kernel(abs, abs, abs)  # not called
    x, tables = torch.randn(4, 6), draw_tables(3, 6)
    for name in ("gate_mean", "var", "scale", "weight"):
        for wrong, error in ((tables[name].half(), TypeError), (tables[name][..., :5], ValueError)):
            with pytest.raises(error):
                records = as_records({**tables, name: wrong})
                fused_forward(kernel, x, *records, Options(1e-5, True))
    for other in (x.double(), x.to("meta"), torch.randn(8, 12)[::2, ::2]):
        with pytest.raises((TypeError, ValueError)):
            fused_forward(kernel, other, *as_records(tables), Options(1e-5, True))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shared", [None, share_out((8,), 1)])
def test_compilation_sees_one_operator_with_gradients(path, training, shared):
    layer = UCBNorm(4, update="hybrid")
    layer(torch.randn(8, 4, 5))
    twin, x = copy.deepcopy(layer.train(training)), torch.randn(8, 4, 5)
    torch.compiler.reset()
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    results = []
    for each, call in ((layer, compiled), (twin, twin)):
        leaf = x.clone().requires_grad_()
        with running(shared):
            y = call(leaf)
        y.sin().sum().backward()
        gradients = {f"d {name}": value.grad for name, value in each.named_parameters()}
        results.append({"y": y, "d x": leaf.grad} | gradients | dict(each.named_buffers()))
    assert_close(*results)


def test_the_operators_pass_torchs_checks(path):
    tables = [value.clone().requires_grad_() for value in draw_tables(3, 4).values()]
    for x in (torch.randn(8, 4), channels_last(torch.randn(8, 4, 3, 3))):
        arguments = (x.requires_grad_(), *tables, 1e-5, False)
        checks = ("test_schema", "test_autograd_registration", "test_faketensor")
        torch.library.opcheck(forward_operator, arguments, test_utils=checks)
