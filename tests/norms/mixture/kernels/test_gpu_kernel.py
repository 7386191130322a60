"""The Triton kernels agree with autograd in float64: on a GPU, or in Triton's interpreter.

Triton reads TRITON_INTERPRET when it is imported, so `test_triton_interpreter` runs this file in
another process. The interpreter is slow in proportion to tiles and components, so there are few.
"""

import copy
import os

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
from dacbn.norms.mixture import channel_steps, operators
from dacbn.norms.mixture.arguments import (
    GRADIENT_ROWS,
    Affine,
    Components,
    Gate,
    Options,
    Saved,
)
from dacbn.norms.mixture.kernels import choose
from dacbn.norms.mixture.kernels.choose import Kernels
from dacbn.norms.mixture.normalise import normalise_by_mixture

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE, CLUSTERS = ("cpu", 2) if INTERPRETED else ("cuda", 3)
pytestmark = [] if INTERPRETED else [pytest.mark.gpu]
on_gpu = pytest.mark.skipif(INTERPRETED, reason="the interpreter is no GPU")
SHAPES = [(5, 3), (6, 2, 3), (2, 2, 4, 5, 3), (40, 6), (3, 2, 7, 7)]
CASES = [
    (shape, lay_out, from_batch)
    for shape in SHAPES
    for lay_out in ((torch.clone, channels_last) if len(shape) > 2 else (torch.clone,))
    for from_batch in (True, False)
]
if INTERPRETED:  # two stretches and a partial block of channels; two programs; one program
    CASES = [((17, 3), torch.clone, True), ((2, 2, 2, 3), torch.clone, True)]
    CASES += [((2, 1, 2, 3), torch.clone, False)]
    CASES += [((2, 5, 2, 2), channels_last, True), ((2, 3, 2, 2), channels_last, False)]
    CASES += [((3, 2, 3), channels_last, True), ((2, 1, 2, 1, 2), torch.clone, True)]


@pytest.fixture(autouse=True)
def kernels(monkeypatch):
    """Use the Triton kernels, with such small tiles that there are several of everything."""
    triton_mixture = pytest.importorskip("dacbn.norms.mixture.kernels.gpu", exc_type=ImportError)
    monkeypatch.setattr(triton_mixture, "_tile_size", lambda clusters: 128)
    monkeypatch.setattr(triton_mixture, "PROGRAMS", 9)
    monkeypatch.setattr(triton_mixture, "CHANNELS_LAST_BLOCK", 4)
    found = Kernels(*triton_mixture.FUNCTIONS, "", "")
    for module in (operators, channel_steps):
        monkeypatch.setattr(module, "kernels_for", lambda x, clusters: found)
    return triton_mixture


def draw(shape, clusters=CLUSTERS):
    """Return activations, gradients of the output, and tables."""
    x, gradient = torch.randn(shape) * 1.5 + 0.5, torch.randn(shape)
    tables = draw_tables(clusters, shape[1])
    return (
        x.to(DEVICE),
        gradient.to(DEVICE),
        {name: value.to(DEVICE) for name, value in tables.items()},
    )


def in_double(x, tables, gradient, from_batch):
    """Return what autograd finds in float64."""
    return evaluate(by_definition, x.double(), doubled(tables), gradient.double(), from_batch)


@pytest.mark.parametrize(("shape", "lay_out", "from_batch"), CASES)
@pytest.mark.parametrize("function", [normalise_by_mixture, in_passes])
def test_all_results_are_those_of_autograd_in_double(function, shape, lay_out, from_batch):
    x, gradient, tables = draw(shape)
    x = lay_out(x)
    found = evaluate(function, x, tables, gradient, from_batch)
    assert found["y"].stride() == x.stride() == found["d x"].stride()
    assert_close(found, in_double(x, tables, gradient, from_batch))


@pytest.mark.parametrize("clusters", [1, 3, 16])
def test_any_number_of_components(clusters):
    x, gradient, tables = draw((4, 1, 25), clusters)
    found = evaluate(normalise_by_mixture, x, tables, gradient, True)
    assert_close(found, in_double(x, tables, gradient, True))


def test_tiles_and_stretches_of_any_number_give_one_result(kernels, monkeypatch):
    x, gradient, tables = draw((5, 1, 5, 5), 3)
    wanted = in_double(x, tables, gradient, True)
    layouts = set()
    for size, programs in ((128, 1), (32, 2)):
        monkeypatch.setattr(kernels, "_tile_size", lambda clusters, size=size: size)
        monkeypatch.setattr(kernels, "PROGRAMS", programs)
        layouts.add(kernels.lay_out(x, 3)[1:])
        assert_close(evaluate(normalise_by_mixture, x, tables, gradient, True), wanted)
    assert layouts == {(1, 128, 1), (2, 32, 1)}


@pytest.mark.parametrize("missing", [{"scale"}, {"scale", "weight", "bias"}])
def test_scale_and_affine_may_be_missing(missing):
    x, gradient, tables = draw((4, 1, 30))
    ones = {name: torch.ones_like(tables[name]) for name in missing}
    zeros = {"bias": torch.zeros_like(tables["bias"])} if "bias" in missing else {}
    wanted = in_double(x, {**tables, **ones, **zeros}, gradient, True)
    left = {name: None if name in missing else value for name, value in tables.items()}
    leaves = {"x": x, **{name: value for name, value in left.items() if value is not None}}
    leaves = {name: value.clone().requires_grad_() for name, value in leaves.items()}
    y, *_ = normalise_by_mixture(leaves["x"], *as_records(leaves, True), Options(1e-5, True))
    y.backward(gradient)
    found = {"y": y} | {f"d {name}": leaf.grad for name, leaf in leaves.items()}
    assert_close(found, {name: wanted[name] for name in found})


@pytest.mark.parametrize(
    ("dtype", "tolerance", "lay_out"),
    [(torch.bfloat16, 8e-3, torch.clone), (torch.float16, 1e-3, channels_last)],
)
def test_half_precision_is_read_and_written_without_conversion(dtype, tolerance, lay_out):
    """The interpreter truncates where a GPU rounds."""
    x, gradient, tables = draw((2, 2, 3, 2) if INTERPRETED else (3, 2, 7, 7))
    x, gradient = lay_out(x).to(dtype), gradient.to(dtype)
    found = evaluate(operate, x, tables, gradient, True)
    wanted = in_double(x, tables, gradient, True)
    assert found["y"].dtype == found["d x"].dtype == dtype
    for name, value in wanted.items():  # only what is as large as x is rounded
        rounded = name in ("y", "d x")
        assert_close({name: found[name]}, {name: value}, tolerance if rounded else 1e-5)


def test_gradients_of_tables_only_if_needed(kernels):
    x, gradient, tables = draw((4, 1, 30))
    options = Options(1e-5, True)
    _, table = kernels.triton_forward(x, *as_records(tables), options)
    arguments = gradient, Saved(x, table, tables["scale"], tables["weight"]), options
    few, all_of_them = (kernels.triton_backward(*arguments, too) for too in (False, True))
    assert few[1].numel() == 0 and all_of_them[1].shape == (GRADIENT_ROWS, CLUSTERS, 1)
    for i in (0, 2, 3):
        assert torch.equal(few[i], all_of_them[i])


@pytest.mark.parametrize("update", ["em", "learned"])
def test_layers_train_and_evaluate_as_in_double(monkeypatch, update):
    channels = 1 if INTERPRETED else 2
    layer = UCBNorm(channels, CLUSTERS, update=update, prior_scale=True).to(DEVICE)
    twin = copy.deepcopy(layer).double()
    for training in (True, False):
        x = (torch.randn(8, channels, 3, 3) * 2 + 1).to(DEVICE)
        results = []
        for each, leaf, function in (
            (layer, x.clone(), normalise_by_mixture),
            (twin, x.double(), by_definition),
        ):
            monkeypatch.setattr("dacbn.norms.ucb_norm.normalise_by_mixture", function)
            y = each.train(training)(leaf.requires_grad_())
            each.zero_grad()
            y.sin().sum().backward()
            gradients = {f"d {name}": value.grad for name, value in each.named_parameters()}
            results.append({"y": y, "d x": leaf.grad} | gradients | dict(each.named_buffers()))
        assert_close(*results)
        twin.load_state_dict(layer.state_dict())


def test_the_batchs_moments_are_exact_however_stale_the_mixture():
    x, _, tables = draw((10, 1, 20))
    x = x * 1e-2 + 1e3
    del tables["scale"], tables["weight"], tables["bias"]
    y, share, mean, var = normalise_by_mixture(x, *as_records(tables), Options(1e-12, True))
    flat = x.double().transpose(0, 1).flatten(1)
    holder = share.argmax(0)[None]  # so far out, one component has all values
    held = mean.gather(0, holder)[0], var.gather(0, holder)[0]
    torch.testing.assert_close(held[0].double(), flat.mean(1), rtol=1e-6, atol=0)
    torch.testing.assert_close(held[1].double(), flat.var(1, correction=0), rtol=1e-2, atol=0)
    assert y.isfinite().all()


def test_a_narrow_component_beside_a_wide_one():
    """Sums around the mean of the data would lose its variance, a millionth of the data's."""
    narrow = torch.arange(200) % 2 == 0
    x = torch.where(narrow, 3 + 1e-3 * torch.randn(200), torch.randn(200) - 3)[:, None].to(DEVICE)
    mean = torch.tensor([[2.999], [-3.0]], device=DEVICE)
    var = torch.tensor([[4e-6], [1.0]], device=DEVICE)
    mixture = {"log_prior": torch.full_like(mean, 0.5).log(), "gate_mean": mean, "gate_var": var}
    mixture |= {"mean": mean, "var": var}
    options = Options(1e-9, True)
    found = normalise_by_mixture(x, *as_records(mixture), options)
    wanted = by_definition(x.double(), *as_records(doubled(mixture)), options)
    for value, exact in zip(found, wanted, strict=True):
        torch.testing.assert_close(value.double(), exact, rtol=1e-3, atol=1e-4)


def test_a_component_without_data_keeps_its_moments():
    means, var = (torch.tensor(v, device=DEVICE) for v in ([[0.0], [1e4]], [[1.0], [0.5]]))
    gate = Gate(torch.full_like(means, 0.5).log(), means, var)
    x = torch.randn(9, 1, device=DEVICE)
    components, options = Components(means, var), Options(1e-5, True)
    _, share, mean, kept = normalise_by_mixture(x, gate, components, Affine(), options)
    assert share[1] == 0 and mean[1] == 1e4
    torch.testing.assert_close(kept[1], var[1])


def test_outliers_belong_to_the_widest_component():
    x = torch.full((4, 1, 8), 1e9, device=DEVICE).requires_grad_()
    means = torch.zeros(2, 1, device=DEVICE)
    wide = torch.tensor([[1.0], [4.0]], device=DEVICE)
    gate = Gate(torch.full_like(means, 0.5).log(), means, wide)
    components, options = Components(means, wide), Options(0.0, False)
    y, *_ = normalise_by_mixture(x, gate, components, Affine(), options)
    torch.testing.assert_close(y, x / 2)
    y.sum().backward()
    torch.testing.assert_close(x.grad, torch.full_like(x, 0.5))


@pytest.mark.parametrize(("bad", "shape"), [(float("nan"), (8, 3)), (float("inf"), (8, 3, 5))])
def test_nan_and_infinity_make_their_channel_nan_and_no_other(bad, shape):
    x, _, tables = draw(shape)
    x[2, 1] = bad
    y, *_ = normalise_by_mixture(x, *as_records(tables), Options(1e-5, True))
    y = y.transpose(0, 1).flatten(1)
    assert y[1].isnan().all()
    assert y[torch.arange(shape[1]) != 1].isfinite().all()


@on_gpu
def test_the_same_input_gives_the_same_result():
    x, gradient, tables = draw((64, 24, 32, 32))
    first, second = (evaluate(normalise_by_mixture, x, tables, gradient, True) for _ in range(2))
    assert all(value is None or torch.equal(value, second[name]) for name, value in first.items())


@on_gpu
def test_a_gpu_uses_the_kernels():
    assert choose.kernel_status("cuda")[0] == "Triton kernels"
    assert choose.kernels_for(torch.zeros(2, 3, device="cuda"), 3).backend == "Triton kernels"
    wide = torch.zeros(2, 3, device="cuda", dtype=torch.float64)
    assert choose.kernels_for(wide, 3).backend == "plain torch"


@on_gpu
def test_compilation_sees_one_operator_with_gradients():
    layer = UCBNorm(4, update="hybrid").cuda()
    layer(torch.randn(8, 4, 5, device="cuda"))
    twin, x = copy.deepcopy(layer), torch.randn(8, 4, 5, device="cuda")
    results = []
    for each, call in ((layer, torch.compile(layer, fullgraph=True)), (twin, twin)):
        y = call(leaf := x.clone().requires_grad_())
        y.sin().sum().backward()
        gradients = {f"d {name}": value.grad for name, value in each.named_parameters()}
        results.append({"y": y, "d x": leaf.grad} | gradients | dict(each.named_buffers()))
    assert_close(*results)
