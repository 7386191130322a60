"""C reads and writes bfloat16: as exact as the rounding of its input and output, with no copies."""

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
)

from dacbn.norms import UCBNorm
from dacbn.norms.mixture.arguments import Options
from dacbn.norms.mixture.kernels import choose, compile_c, lines
from dacbn.norms.mixture.kernels.choose import find_kernels
from dacbn.norms.mixture.kernels.lines import find_line_kernel, find_values
from dacbn.norms.mixture.moments import mix, per_component, responsibilities, weighted_moments
from dacbn.norms.mixture.normalise import normalise_by_mixture

pytestmark = pytest.mark.skipif(
    isinstance(find_kernels("cpu", 3, torch.bfloat16), str), reason="no kernel on this machine"
)
HALF_UNIT = 2**-8  # of the last place, relative
SHAPES = [(40, 21), (6, 5, 3), (7, 24, 2, 2), (3, 5, 7, 7), (2, 3, 32, 32), (2, 70, 20, 13)]
LAYOUTS = [torch.clone, channels_last]
WAYS = [(True, normalise_by_mixture), (True, in_passes), (False, normalise_by_mixture)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("lay_out", LAYOUTS)
@pytest.mark.parametrize("clusters", [1, 2, 3, 5])
@pytest.mark.parametrize(("from_batch", "function"), WAYS)
def test_channels_are_those_of_autograd_in_double(shape, lay_out, clusters, from_batch, function):
    x = lay_out((torch.randn(shape) * 1.5 + 0.5).bfloat16())
    tables, gradient = draw_tables(clusters, shape[1]), torch.randn(shape).bfloat16()
    found = evaluate(function, x, tables, gradient, from_batch)
    wanted = evaluate(by_definition, x.double(), doubled(tables), gradient.double(), from_batch)
    compare(found, wanted, x)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("lay_out", LAYOUTS)
@pytest.mark.parametrize("clusters", [1, 2, 5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("from_batch", "function"), WAYS)
def test_samples_are_those_of_autograd_in_double(
    shape, lay_out, clusters, dtype, from_batch, function
):
    x = torch.randn(shape) + torch.randn(shape[0], *(1 for _ in shape[1:]))
    x, gradient = lay_out(x.to(dtype)), torch.randn(shape).to(dtype)
    tables = draw_tables(clusters, shape[1])
    tables |= {name: tables[name][:, :1] for name in ("log_prior", "scale")}
    tables["gate_var"] *= shape[1]  # else a sum over channels leaves nothing undecided
    exact = x.double(), doubled(tables), gradient.double(), from_batch
    found = evaluate(by_sample(function), x, tables, gradient, from_batch)
    wanted = evaluate(sample_definition, *exact)
    compare(found, wanted, x)


def by_sample(function):
    return lambda *arguments: function(*arguments, "sample")


def sample_definition(x, gate, components, affine, options):
    """Normalise as mixtures of samples do, by the formulas in `moments` and by autograd."""
    flat = x.unsqueeze(-1) if x.ndim == 2 else x.flatten(2)
    r = responsibilities(flat, *gate, "sample")
    share, (mean, var, scale) = r, components
    if options.from_batch:
        share, mean, var = weighted_moments(flat, r, mean, var)
    y = mix(flat, r * per_component(scale), mean, var + options.eps)
    y = y * affine.weight[:, None] + affine.bias[:, None]
    return y.reshape(x.shape), share.detach(), mean.detach(), var.detach()


def compare(found, wanted, x):
    """Allow what is as large as x a rounding of each value, and all else float32's errors."""
    assert found["y"].stride() == x.stride() == found["d x"].stride()
    assert found["y"].dtype == found["d x"].dtype == x.dtype
    for name in ("y", "d x"):
        one, other = found.pop(name).double(), wanted.pop(name)
        scale = max(other.abs().max().item(), 0.1)
        rounding = HALF_UNIT if x.dtype is torch.bfloat16 else 0
        torch.testing.assert_close(one, other, rtol=rounding, atol=1e-5 * scale)
    assert_close(found, wanted, 5e-5)


@pytest.mark.parametrize("assign", ["channel", "sample"])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("lay_out", LAYOUTS)
def test_nothing_as_large_as_the_input_is_kept_in_a_wider_type(assign, training, lay_out):
    layer, x = UCBNorm(6, 2, assign=assign), lay_out(torch.randn(4, 6, 30, 30)).bfloat16()
    layer(x)
    layer.train(training)
    kept = []

    def note(tensor):
        kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        y = layer(x.requires_grad_())
    large = [tensor for tensor in kept if tensor.numel() >= x.numel()]
    assert large and {tensor.data_ptr() for tensor in large} == {x.data_ptr()}
    assert y.dtype is torch.bfloat16


@pytest.mark.parametrize("assign", ["channel", "sample"])
def test_parameters_in_double_are_computed_in_double_or_in_float32(assign):
    layer, x = UCBNorm(6, 2, assign=assign), torch.randn(4, 6, 5, 5).bfloat16()
    twin = UCBNorm(6, 2, assign=assign).double()
    twin.load_state_dict(layer.state_dict())
    for _ in range(2):
        one, other = layer(x), twin(x)
    assert one.dtype is other.dtype is torch.bfloat16
    torch.testing.assert_close(one, other, rtol=2 * HALF_UNIT, atol=1e-4)


@pytest.mark.parametrize("machine", ["this", "any"])
def test_values_are_rounded_as_torch_rounds_them(machine, monkeypatch, tmp_path):
    if machine == "any":  # no instruction that only some processors have
        monkeypatch.setattr(compile_c, "EXTRA_FLAGS", ((),))
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    kernel = find_line_kernel.__wrapped__(torch.bfloat16)
    bits = torch.arange(1 << 16, dtype=torch.int32).to(torch.int16)
    x = bits.view(torch.bfloat16)
    x = x[(x.float().abs() >= 1e-35) | (x == 0) | x.isnan()]  # some processors have no smaller ones
    x = x[None, None]
    for slope, shift in ((1.0, 0.0), (1.0039, 0.0), (0.3, 1e-3), (0.0, 3.1415927)):
        tables = torch.full((1, 1), slope), torch.full((1, 1), shift)
        wanted = torch.addcmul(tables[1], x.float(), tables[0]).bfloat16().float()
        found = find_values(kernel, x, *tables).float()
        # one that lies between two neighbours may fall to either, by how the sum is formed
        torch.testing.assert_close(found, wanted, rtol=2 * HALF_UNIT, atol=0, equal_nan=True)
        if shift == 0:
            assert torch.equal(found.nan_to_num(), wanted.nan_to_num())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("lay_out", LAYOUTS)
def test_nan_and_infinity_stay_in_their_sample_of_fixed_moments(dtype, bad, lay_out):
    layer, x = UCBNorm(5, 2, assign="sample"), lay_out(torch.randn(6, 5, 9, 9).to(dtype))
    layer(x)
    x[2, 1, 3, 3] = bad
    y = layer.eval()(x)
    assert y[2].isnan().all()
    assert y[torch.arange(6) != 2].isfinite().all()


@pytest.mark.parametrize("assign", ["channel", "sample"])
def test_without_a_compiler_the_results_are_the_same(assign, monkeypatch):
    layer, x = UCBNorm(6, 2, assign=assign), torch.randn(8, 6, 7, 7).bfloat16()
    layer(x)
    start, results = {name: value.clone() for name, value in layer.state_dict().items()}, []
    for compiled in (True, False):
        if not compiled:
            monkeypatch.setattr(choose, "find_kernels", lambda *_: "not wanted")
            monkeypatch.setattr(lines, "find_line_kernel", lambda *_: "not wanted")
        layer.load_state_dict(start)
        leaf = x.clone().requires_grad_()
        y = layer(leaf)
        y.sin().sum().backward()
        results.append({"y": y, "d x": leaf.grad} | dict(layer.named_buffers()))
        results[-1] = {name: value.clone() for name, value in results[-1].items()}
    assert_close(*results, tolerance=2 * HALF_UNIT)


@pytest.mark.parametrize("lay_out", LAYOUTS)
def test_a_second_derivative_of_samples_is_that_of_autograd_in_double(lay_out):
    x, tables = lay_out(torch.randn(6, 4, 5)), draw_tables(2, 4)
    tables |= {name: tables[name][:, :1] for name in ("log_prior", "scale")}
    results = []
    for dtype in (torch.float32, torch.float64):
        leaf = x.to(dtype).requires_grad_()
        records = as_records({name: value.to(dtype) for name, value in tables.items()}, True)
        y, *_ = normalise_by_mixture(leaf, *records, Options(1e-5, True), "sample")
        (first,) = torch.autograd.grad(y.sin().sum(), leaf, create_graph=True)
        (second,) = torch.autograd.grad(first.square().sum(), leaf)
        results.append({"first": first, "second": second})
    assert_close(*results, tolerance=1e-4)


@pytest.mark.parametrize("assign", ["channel", "sample"])
@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 9, 9)])
def test_the_output_is_no_view_so_that_changes_in_place_copy_no_gradients(assign, shape):
    layer, x = UCBNorm(6, 2, assign=assign), torch.randn(shape, requires_grad=True)
    layer(x)
    assert not layer(x)._is_view()


def test_a_graph_of_samples_may_run_backward_twice_and_through_other_uses_of_the_input():
    layer, x = UCBNorm(4, 2, assign="sample"), torch.randn(6, 4, 5, 5, requires_grad=True)
    layer(x)
    y = layer(x)
    loss = (y * x).sin().sum()
    loss.backward(retain_graph=True)
    once, x.grad = x.grad, None
    loss.backward()
    torch.testing.assert_close(x.grad, once)


def test_c_refuses_another_type_or_layout():
    kernel, tables = find_line_kernel(torch.bfloat16), torch.zeros(2, 4, 6)
    for wrong in (torch.zeros(4, 6, 5), torch.zeros(4, 6, 5, device="meta").bfloat16()):
        with pytest.raises(TypeError):
            find_values(kernel, wrong, *tables)
    with pytest.raises(ValueError, match="channels last"):
        find_values(kernel, torch.zeros(8, 6, 5).bfloat16()[::2], *tables)
