"""What the ways to normalise by a mixture per channel are tested on, and how they are compared."""

import torch

from dacbn.norms.mixture.normalise import Gate, _Eager

NAMES = ["log_prior", "gate_mean", "gate_var", "mean", "var", "scale", "weight", "bias"]


def draw_tables(clusters, channels):
    """Return the tables and affine that normalise_by_mixture takes, by name."""
    gate_mean, mean_gap = torch.randn(2, clusters, channels)
    tables = [
        torch.randn(clusters, channels).log_softmax(0),
        gate_mean,
        torch.rand(clusters, channels) + 0.3,
        gate_mean + 0.1 * mean_gap,
        torch.rand(clusters, channels) + 0.3,
        torch.rand(clusters, channels) + 0.5,
        torch.randn(channels),
        torch.randn(channels),
    ]
    return dict(zip(NAMES, tables, strict=True))


def evaluate(function, x, tables, gradient, from_batch):
    """Return outputs and the gradients of everything, by name."""
    leaves = {"x": x, **tables}
    leaves = {name: value.detach().requires_grad_() for name, value in leaves.items()}
    x, log_prior, gate_mean, gate_var, mean, var, scale, weight, bias = leaves.values()
    if from_batch:  # constants then
        mean, var = mean.detach(), var.detach()
    gate = Gate(log_prior, gate_mean, gate_var)
    y, *moments = function(x, gate, mean, var, 1e-5, from_batch, "channel", scale, weight, bias)
    y.backward(gradient)
    found = dict(
        zip(["share", "mean of x", "var of x"], moments, strict=True) if from_batch else ()
    )
    return found | {"y": y} | {f"d {name}": leaf.grad for name, leaf in leaves.items()}


def assert_close(found, wanted, tolerance=1e-5):
    """Compare each result's largest error with its largest value, or a tenth if that is less."""
    for name, value in wanted.items():
        if value is None:
            assert found[name] is None, name
            continue
        scale = value.double().abs().max().clamp_min(0.1)
        error = (found[name].double() - value.double()).abs().max() / scale
        assert error <= tolerance, f"{name}: {error:.1e}"


def operate(x, gate, mean, var, eps, from_batch, _, scale, weight, bias):
    """Normalise as `normalise_by_mixture` does, with x in whatever type it is."""
    y, table = _Eager.apply(x, *gate, mean, var, scale, weight, bias, eps, from_batch)
    return y, *table[3:6]


def doubled(values):
    """Widen tables to float64."""
    return {name: value.double() for name, value in values.items()}


def channels_last(x):
    """Lay x (N, C, *) out with its channels last."""
    return x.movedim(1, -1).contiguous().movedim(-1, 1)
