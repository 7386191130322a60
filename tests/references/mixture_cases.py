"""Inputs, reference and comparison for the implementations of mixtures per channel."""

import torch

from dacbn.norms.mixture.arguments import SHARE, VAR, Affine, Components, Gate, Options
from dacbn.norms.mixture.moments import mix, per_component, responsibilities, weighted_moments
from dacbn.norms.mixture.normalise import normalise_by_mixture
from dacbn.norms.mixture.operators import _Eager
from dacbn.processes.share import running, share_out

NAMES = ["log_prior", "gate_mean", "gate_var", "mean", "var", "scale", "weight", "bias"]


def draw_tables(clusters, channels):
    """Return tables and affine parameters of a random mixture, by name."""
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


def as_records(tables, from_batch=False):
    """Return gate, components and affine of tables by name; what is missing is None.

    With `from_batch` the components' mean and variance are constants.
    """
    values = [tables.get(name) for name in NAMES]
    if from_batch:
        values[3:5] = [value.detach() for value in values[3:5]]
    return Gate(*values[:3]), Components(*values[3:6]), Affine(*values[6:])


def evaluate(function, x, tables, gradient, from_batch):
    """Return outputs and the gradients of everything, by name."""
    leaves = {"x": x, **tables}
    leaves = {name: value.detach().requires_grad_() for name, value in leaves.items()}
    options = Options(1e-5, from_batch)
    y, *moments = function(leaves["x"], *as_records(leaves, from_batch), options)
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


def by_definition(x, gate, components, affine, options, assign="channel", weights=None):
    """Normalise as `normalise_by_mixture` does, by the formulas in `moments` and by autograd."""
    assert assign == "channel" and weights is None
    flat = x.unsqueeze(-1) if x.ndim == 2 else x.flatten(2)
    weights = share = responsibilities(flat, *gate, "channel")
    mean, var, scale = components
    if options.from_batch:
        share, mean, var = weighted_moments(flat, weights, mean, var)
    terms = weights if scale is None else weights * per_component(scale)
    y = mix(flat, terms, mean, var + options.eps)
    if affine.weight is not None:
        y = y * affine.weight[:, None] + affine.bias[:, None]
    return y.reshape(x.shape), share.detach(), mean.detach(), var.detach()


def operate(x, gate, components, affine, options):
    """Apply the operator to x of any type, without the conversions of `normalise_by_mixture`."""
    y, table = _Eager.apply(x, *gate, *components, *affine, *options)
    return y, *table[SHARE : VAR + 1]


def in_passes(x, gate, components, affine, options, assign="channel", weights=None):
    """Normalise as processes do that share a batch, of which this one has all rows."""
    records = gate, components, affine, options._replace(shared=True)
    with running(share_out((len(x),), 1)):
        return normalise_by_mixture(x, *records, assign, weights)


def doubled(values):
    """Convert tables to float64."""
    return {name: value.double() for name, value in values.items()}


def channels_last(x):
    """Return x (N, C, *) in channels-last memory layout."""
    return x.movedim(1, -1).contiguous().movedim(-1, 1)
