"""The C kernel of mixtures that assign all channels at once agrees with torch in float64."""

import copy

import pytest
import torch
from mixture_cases import channels_last

from dacbn.norms import norms
from dacbn.norms.mixture import jointly
from dacbn.norms.mixture.arguments import Affine, Components, Gate, LinearGate
from dacbn.norms.mixture.jointly import normalise_jointly
from dacbn.norms.mixture.kernels import choose
from dacbn.norms.mixture.kernels.joint import JointOptions, joint_forward

pytestmark = pytest.mark.skipif(
    isinstance(choose.find_kernels("cpu", 3), str), reason="no kernel on this machine"
)

# Whole and partial vectors of channels and positions, several samples in a tile, several tiles.
SHAPES = [(5, 6), (300, 21), (64, 512), (7, 24, 2, 2), (3, 5, 7, 7), (2, 3, 4, 5, 3), (4, 300, 16)]
BY_BATCH, GIVEN_MOMENTS = JointOptions(1e-5, True), JointOptions(1e-5, False)
AS_PUBLISHED = JointOptions(1e-5, True, constant=True, by_share=True, least_var=1.0)


def draw(shape, clusters):
    """Draw activations, a gradient, and all tables by name; a linear gate is among them."""
    channels = shape[1]
    x, gradient = torch.randn(shape) * 1.5 + 0.5, torch.randn(shape)
    tables = {
        "log_prior": torch.randn(clusters, 1).log_softmax(0),
        "gate_mean": torch.randn(clusters, channels),
        "gate_var": torch.rand(clusters, channels) + 0.5 * channels**0.5,
        "gate_bias": torch.randn(clusters, 1),
        "gate_weight": torch.randn(clusters, channels) / channels**0.5,
        "given": torch.randn(clusters, x.numel() // channels).softmax(0),
        "mean": torch.randn(clusters, channels),
        "var": torch.rand(clusters, channels) + 0.5,
        "scale": torch.rand(clusters, 1) + 0.5,
        "weight": torch.randn(channels),
        "bias": torch.randn(channels),
    }
    return x, gradient, tables


def evaluate(function, x, gradient, tables, options, kind):
    """Return the output, the moments and the gradients of all inputs."""
    x = x.clone().requires_grad_()
    tables = {name: value.clone().requires_grad_() for name, value in tables.items()}
    gate = {
        "gaussian": Gate(tables["log_prior"], tables["gate_mean"], tables["gate_var"]),
        "linear": LinearGate(tables["gate_bias"], tables["gate_weight"]),
        "given": None,
    }[kind]
    moments = tables["mean"], tables["var"]
    if options.from_batch:
        moments = moments[0].detach(), moments[1].detach()
    components = Components(*moments, None if options.by_share else tables["scale"])
    affine, given = Affine(tables["weight"], tables["bias"]), tables["given"]
    last = given if kind == "given" else None
    y, share, mean, var = function(x, gate, components, affine, options, last)
    leaves = {"x": x, **tables}
    found = torch.autograd.grad(y, leaves.values(), gradient, allow_unused=True)
    results = {f"d {name}": value for name, value in zip(leaves, found, strict=True)}
    moments = {"share": share, "mean": mean, "var": var} if options.from_batch else {}
    return {"y": y, **moments, **results}


def assert_close(found, wanted, tolerance=3e-5):
    for name, value in wanted.items():
        assert (found[name] is None) == (value is None), name
        if value is not None:
            error = (found[name].double() - value).abs().max()
            assert error <= tolerance * value.abs().max().clamp_min(0.1), (name, float(error))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("lay_out", [torch.clone, channels_last])
@pytest.mark.parametrize("options", [BY_BATCH, GIVEN_MOMENTS, AS_PUBLISHED])
@pytest.mark.parametrize("kind", ["gaussian", "linear", "given"])
def test_all_results_are_those_of_torch_in_double(shape, lay_out, options, kind):
    x, gradient, tables = draw(shape, 3)
    x, doubled = lay_out(x), {name: value.double() for name, value in tables.items()}
    found = evaluate(normalise_jointly, x, gradient, tables, options, kind)
    assert found["y"].grad_fn.name() == "_JointBackward"
    assert found["y"].stride() == x.stride() == found["d x"].stride()
    exact = x.double(), gradient.double(), doubled
    assert_close(found, evaluate(jointly._by_torch, *exact, options, kind))


@pytest.mark.parametrize("clusters", [1, 2])
def test_any_number_of_components(clusters):
    x, gradient, tables = draw((40, 7, 5), clusters)
    doubled = {name: value.double() for name, value in tables.items()}
    found = evaluate(normalise_jointly, x, gradient, tables, BY_BATCH, "gaussian")
    exact = x.double(), gradient.double(), doubled
    assert_close(found, evaluate(jointly._by_torch, *exact, BY_BATCH, "gaussian"))


LAYERS = [
    "ucb_norm(num_clusters=2, assign='sample')",
    "ucb_norm(num_clusters=3, assign='position')",
    "ucb_norm(num_clusters=3, assign='position', prior_scale=True)",
    "mixture_norm",
    "mode_norm",
]


@pytest.mark.parametrize("name", LAYERS)
def test_layers_train_as_in_double(name):
    layer = norms.build(name, 24)
    twin = copy.deepcopy(layer).double()
    for _ in range(4):
        x = torch.randn(96, 24) + 3 * (torch.arange(96) % 2)[:, None] + 2
        x[:, 3] = 0.25  # a constant channel
        results = []
        for each, leaf in ((layer, x.clone()), (twin, x.double())):
            y = each(leaf.requires_grad_())
            each.zero_grad()
            y.sin().sum().backward()
            gradients = {f"d {n}": p.grad for n, p in each.named_parameters()}
            results.append({"y": y, "d x": leaf.grad} | gradients | dict(each.named_buffers()))
        assert_close(*results, tolerance=2e-4)
        twin.load_state_dict(layer.state_dict())


@pytest.mark.parametrize("name", LAYERS)
def test_infinite_activations_leave_the_running_mixture_finite(name):
    layer = norms.build(name, 6)
    layer(torch.randn(80, 6))
    before = layer.running.mean.clone()
    layer(torch.full((80, 6), torch.inf))
    assert all(value.isfinite().all() for value in layer.running.buffers())
    assert torch.equal(layer.running.mean, before)


def test_a_stale_mixture_finds_the_batchs_moments():
    x = torch.randn(60, 5) * 1e-2 + 1e3
    gate = Gate(torch.zeros(2, 1), torch.zeros(2, 5), torch.ones(2, 5))
    _, share, mean, var = normalise_jointly(
        x, gate, Components(gate.mean, gate.var), Affine(), BY_BATCH
    )
    torch.testing.assert_close(share, torch.full((2, 1), 0.5))
    torch.testing.assert_close(mean[0].double(), x.double().mean(0), rtol=1e-6, atol=0)
    expected = x.double().var(0, correction=0)
    torch.testing.assert_close(var[0].double(), expected, rtol=1e-2, atol=0)


def test_a_moved_buffer_is_noticed():
    layer = norms.build(LAYERS[0], 6)
    layer(torch.randn(8, 6))
    versions = [value._version for value in layer.running.buffers()]
    layer(torch.randn(8, 6))
    assert all(a < b._version for a, b in zip(versions, layer.running.buffers(), strict=True))


@pytest.mark.parametrize("kind", ["gaussian", "linear", "given"])
def test_a_second_derivative_is_that_of_torch_in_double(kind):
    x, _, tables = draw((6, 4, 5), 3)
    results = []
    for function, dtype in ((normalise_jointly, torch.float32), (jointly._by_torch, torch.float64)):
        leaf = x.to(dtype).requires_grad_()
        each = {name: value.to(dtype).requires_grad_() for name, value in tables.items()}
        gate = {
            "gaussian": Gate(each["log_prior"], each["gate_mean"], each["gate_var"]),
            "linear": LinearGate(each["gate_bias"], each["gate_weight"]),
            "given": None,
        }[kind]
        components = Components(each["mean"].detach(), each["var"].detach(), each["scale"])
        given = each["given"] if kind == "given" else None
        y, *_ = function(
            leaf, gate, components, Affine(each["weight"], each["bias"]), BY_BATCH, given
        )
        (first,) = torch.autograd.grad(y.sin().sum(), leaf, create_graph=True)
        leaves = {"x": leaf, **each}
        grads = torch.autograd.grad(first.square().sum(), leaves.values(), allow_unused=True)
        results.append(dict(zip(leaves, grads, strict=True)))
    assert_close(*results, tolerance=2e-4)


def test_the_number_of_threads_changes_nothing_but_rounding():
    x, gradient, tables = draw((64, 24, 64), 3)
    results = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        results.append(evaluate(normalise_jointly, x, gradient, tables, BY_BATCH, "gaussian"))
    torch.set_num_threads(1)
    assert_close(results[1], {n: None if v is None else v.double() for n, v in results[0].items()})


def test_c_refuses_what_it_would_read_wrongly():
    x, _, tables = draw((8, 6), 3)
    kernel = jointly.find_joint_kernel(3)
    for name in ("gate_mean", "var", "weight"):
        for wrong, error in ((tables[name].half(), TypeError), (tables[name][..., :5], ValueError)):
            each = {**tables, name: wrong}
            gate = Gate(each["log_prior"], each["gate_mean"], each["gate_var"])
            components = Components(each["mean"], each["var"])
            with pytest.raises(error):
                joint_forward(kernel, x, gate, components, Affine(each["weight"]), None, BY_BATCH)
