"""Gradients of `by_channel`, by hand.

With responsibilities r_k, moments m_k and v_k, u_k = x - m_k, N_k the mass of component k, and G
the gradient of the output of the layer times `weight`, the gradients of a batch's moments are

    dm_k = -s_k sum(G r_k),    dv_k = -s_k sum(G r_k u_k) / (2 (v_k + eps)),

with s_k = scale_k / sqrt(v_k + eps). A responsibility acts on the output, on m_k and on v_k:

    h_k = G s_k u_k + dm_k u_k / N_k + dv_k (u_k^2 - v_k) / N_k,

its logit by the softmax, e_k = r_k (h_k - sum_j r_j h_j), and x through all of them and directly.

Where processes share a batch, N_k, dm_k and dv_k are sums over all of them, and the rest is of each
process's own values.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from dacbn.norms.mixture.arguments import (
    D_GATE_MEAN,
    D_GATE_VAR,
    D_LOG_PRIOR,
    D_MEAN,
    D_SCALE,
    D_VAR,
    DRAG,
    GATE_MEAN,
    GATE_VAR,
    GRADIENT_ROWS,
    MEAN,
    SHARE,
    VAR,
    Options,
    Saved,
)
from dacbn.norms.mixture.by_channel import assigned, chunks, copied_back, positions_last
from dacbn.norms.mixture.moments import PSEUDO_COUNT, per_component


def chunked_backward(
    gradient: Tensor, saved: Saved, options: Options, tables_too: bool
) -> tuple[Tensor, ...]:
    """Compute the gradients of `chunked_forward`.

    Args:
        gradient: of the output, (N, C, *).
        saved: x, the table, scale and weight of forward.
        options: as in forward.
        tables_too: whether any gradient of the gate or the components is needed.

    Returns:
        the gradient of x; those of gate and components, (GRADIENT_ROWS, K, C), or (0, K, C)
        without `tables_too`; those of weight and bias, (C,) each. With `from_batch` the
        components' mean and variance are constants, and their rows are meaningless.
    """
    dx, table = torch.empty_like(saved.x), saved.table
    d_weight, d_bias = torch.empty_like(table[0, 0]), torch.empty_like(table[0, 0])
    rows = GRADIENT_ROWS if tables_too else 0
    gradients = table.new_empty(rows, *table.shape[1:])
    out = positions_last(dx)
    for part, g, some in _parts(gradient, saved):
        terms, of_tables = _terms(some, options.eps), torch.zeros_like(some.table[:GRADIENT_ROWS])
        d_weight[part], d_bias[part] = _sum_gradients(g, some, terms, of_tables)
        by_moments = None
        if options.from_batch:
            mass = some.table[SHARE] * (some.x.shape[0] * some.x.shape[2]) + PSEUDO_COUNT
            by_moments = by_batch(of_tables[D_MEAN], of_tables[D_VAR], some.table[DRAG], mass)
        out[:, part] = _spread(g, some, terms, by_moments, of_tables if tables_too else None)
        if tables_too:
            gradients[:, :, part] = of_tables
    return copied_back(dx, out), gradients, d_weight, d_bias


def chunked_sums(gradient: Tensor, saved: Saved, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """Compute the gradients of weight, bias, scale, and of the moments as if they were constants.

    Returns:
        those of the tables, (GRADIENT_ROWS, K, C), not yet of the gate; of weight and bias, (C,).
    """
    table = saved.table
    d_weight, d_bias = torch.empty_like(table[0, 0]), torch.empty_like(table[0, 0])
    gradients = torch.zeros_like(table[:GRADIENT_ROWS])
    for part, g, some in _parts(gradient, saved):
        sums = _sum_gradients(g, some, _terms(some, eps), gradients[:, :, part])
        d_weight[part], d_bias[part] = sums
    return gradients, d_weight, d_bias


def chunked_spread(
    gradient: Tensor, saved: Saved, eps: float, gradients: Tensor, tables_too: bool
) -> Tensor:
    """Compute the gradient of x, from those of the sums behind a batch's moments.

    Args:
        gradient: of the output, (N, C, *).
        saved: x, the table, scale and weight of forward.
        eps: added to the variances.
        gradients: (GRADIENT_ROWS, K, C); the rows D_MEAN and D_VAR are those of `by_batch`. The
            rows of the gate are filled.
        tables_too: whether they need to be.
    """
    dx = torch.empty_like(saved.x)
    out = positions_last(dx)
    for part, g, some in _parts(gradient, saved):
        rows = gradients[:, :, part]
        by_moments = rows[D_MEAN], rows[D_VAR]
        out[:, part] = _spread(g, some, _terms(some, eps), by_moments, rows if tables_too else None)
    return copied_back(dx, out)


def by_batch(d_mean: Tensor, d_var: Tensor, drag: Tensor, mass: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the gradients of a batch's sums of r x and r x^2, per value, from its moments'."""
    return (d_mean + d_var * drag) / mass, d_var / mass


class _Terms(NamedTuple):
    """Responsibilities, offsets from the components (K, N, C, L), and factors of these (K, C)."""

    r: Tensor
    u: Tensor
    inverse: Tensor
    factor: Tensor
    slope: Tensor


def _terms(saved: Saved, eps: float) -> _Terms:
    x, table, scale, weight = saved
    r = assigned(x, table)
    inverse = (table[VAR] + eps).rsqrt()
    factor = inverse if scale is None else inverse * scale
    slope = factor if weight is None else factor * weight
    return _Terms(r, x - per_component(table[MEAN]), inverse, factor, slope)


def _sum_gradients(
    g: Tensor, saved: Saved, terms: _Terms, gradients: Tensor
) -> tuple[Tensor, Tensor]:
    """Fill in the gradients of moments and scale; return those of weight and bias."""
    r, u, inverse, factor, slope = terms
    gr = g * r
    sums, products = gr.sum((1, 3)), gr.mul_(u).sum((1, 3))
    gradients[D_MEAN] = -slope * sums
    gradients[D_VAR] = -0.5 * slope * products * inverse.square()
    by_scale = inverse * products
    gradients[D_SCALE] = by_scale if saved.weight is None else by_scale * saved.weight
    return (factor * products).sum(0), sums.sum(0)


def _spread(
    g: Tensor,
    saved: Saved,
    terms: _Terms,
    by_moments: tuple[Tensor, Tensor] | None,
    gradients: Tensor | None,
) -> Tensor:
    """Return the gradient of x; fill in those of the gate, where they are wanted."""
    x, table, *_ = saved
    gate_mean, gate_var = table[GATE_MEAN], table[GATE_VAR]
    r, u, *_, slope = terms
    # the derivative by x of the term of component k, and h, both in the notation above
    if by_moments is not None:
        by_mean, by_var = by_moments
        direct = torch.addcmul(per_component(by_mean), g, per_component(slope))
        direct.addcmul_(per_component(by_var), u)
        h = torch.addcmul(per_component(-by_var * table[VAR]), direct, u)
        direct.addcmul_(per_component(by_var), u)
    else:
        direct = g * per_component(slope)
        h = direct * u
    e = h.mul_(r)
    e.addcmul_(r, e.sum(0), value=-1)
    away = (x - per_component(gate_mean)).mul_(per_component(gate_var.reciprocal()))
    dx = direct.mul_(r).addcmul_(e, away, value=-1).sum(0)
    if gradients is not None:
        gradients[D_LOG_PRIOR] = e.sum((1, 3))
        gradients[D_GATE_MEAN] = e.mul_(away).sum((1, 3))
        squares = e.mul_(away).sum((1, 3))
        gradients[D_GATE_VAR] = 0.5 * (squares - gradients[D_LOG_PRIOR] / gate_var)
    return dx


def _parts(gradient: Tensor, saved: Saved) -> Iterator[tuple[slice, Tensor, Saved]]:
    """Iterate over a few channels at a time: which, the gradient and what was saved of them."""
    x, table, scale, weight = saved
    x, gradient = positions_last(x), positions_last(gradient)
    for part in chunks(x, table.shape[1]):
        some = Saved(
            x[:, part].to(table.dtype),
            table[:, :, part],
            None if scale is None else scale[:, part],
            None if weight is None else weight[part],
        )
        yield part, gradient[:, part].to(table.dtype), some
