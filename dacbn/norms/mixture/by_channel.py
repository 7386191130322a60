"""Normalisation by a mixture per channel in torch, a few channels at a time, with manual gradients.

Autograd would keep a dozen tensors K times as large as the activations. Here a backward pass keeps
the activations and one small table, and recomputes the responsibilities; temporary tensors hold
only as many channels as fit in the cache.

With responsibilities r_k, moments m_k and v_k, u_k = x - m_k, N_k the mass of component k, and G
the gradient of the output of the layer times `weight`, the gradients of a batch's moments are

    dm_k = -s_k sum(G r_k),    dv_k = -s_k sum(G r_k u_k) / (2 (v_k + eps)),

with s_k = scale_k / sqrt(v_k + eps). A responsibility acts on the output, on m_k and on v_k:

    h_k = G s_k u_k + dm_k u_k / N_k + dv_k (u_k^2 - v_k) / N_k,

its logit by the softmax, e_k = r_k (h_k - sum_j r_j h_j), and x through all of them and directly.
"""

from collections.abc import Iterator

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
    LOG_PRIOR,
    MEAN,
    OFFSET,
    SHARE,
    TABLE_ROWS,
    VAR,
    Affine,
    Components,
    Gate,
    Options,
    Saved,
)
from dacbn.norms.mixture.moments import (
    PSEUDO_COUNT,
    mix,
    per_component,
    responsibilities,
    weighted_moments,
)

# Bytes of one tensor of K components: the cache of a CPU, and enough work for a GPU.
CPU_CHUNK, GPU_CHUNK = 1 << 20, 1 << 26


def chunked_forward(
    x: Tensor, gate: Gate, components: Components, affine: Affine, options: Options
) -> tuple[Tensor, Tensor]:
    """Normalise x by a mixture, then scale and shift it.

    Args:
        x: (N, C, *), in the tables' type or half precision; computed in the tables' type.
        gate: the mixture that assigns, (K, C) each.
        components: the moments that standardise, (K, C) each.
        affine: the map that follows.
        options: eps, and whether the batch's moments standardise.

    Returns:
        the output, and the table (TABLE_ROWS, K, C) for `chunked_backward`.
    """
    y, table = torch.empty_like(x), gate.mean.new_zeros(TABLE_ROWS, *gate.mean.shape)
    x, out = _positions_last(x), _positions_last(y)
    table[LOG_PRIOR], table[GATE_MEAN], table[GATE_VAR] = gate
    table[MEAN], table[VAR] = components.mean, components.var
    weight, bias = affine
    for part in chunks(x, len(gate.mean)):
        some, row = x[:, part].to(table.dtype), table[:, :, part]
        r = responsibilities(some, row[LOG_PRIOR], row[GATE_MEAN], row[GATE_VAR], "channel")
        if options.from_batch:
            before = components.mean[:, part], components.var[:, part]
            row[SHARE], row[MEAN], row[VAR] = weighted_moments(some, r, *before)
            mass = row[SHARE] * (x.shape[0] * x.shape[2]) + PSEUDO_COUNT
            row[DRAG] = -2 * PSEUDO_COUNT * (row[MEAN] - before[0]) / mass
        if components.scale is not None:
            r = r * per_component(components.scale[:, part])
        mixed = mix(some, r, row[MEAN], row[VAR] + options.eps)
        if weight is not None and bias is not None:
            mixed = torch.addcmul(bias[part, None], mixed, weight[part, None])
        out[:, part] = mixed
    table[OFFSET] = table[MEAN] - table[GATE_MEAN]
    return _copied_back(y, out), table


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
    x, table, scale, weight = saved
    _, clusters, channels = table.shape
    dx = torch.empty_like(x)
    d_weight, d_bias = table.new_empty(channels), table.new_empty(channels)
    gradients = table.new_empty(GRADIENT_ROWS if tables_too else 0, clusters, channels)
    x, gradient, out = _positions_last(x), _positions_last(gradient), _positions_last(dx)
    for part in chunks(x, clusters):
        some = Saved(
            x[:, part].to(table.dtype),
            table[:, :, part],
            None if scale is None else scale[:, part],
            None if weight is None else weight[part],
        )
        out[:, part], of_tables, d_weight[part], d_bias[part] = _backward(
            gradient[:, part].to(table.dtype), some, options, tables_too
        )
        if tables_too:
            gradients[:, :, part] = of_tables
    return _copied_back(dx, out), gradients, d_weight, d_bias


def _backward(g: Tensor, saved: Saved, options: Options, tables_too: bool) -> tuple[Tensor, ...]:
    x, table, scale, weight = saved
    log_prior, gate_mean, gate_var, share, mean, var, _, drag = table
    gradients = torch.zeros_like(table[:GRADIENT_ROWS])
    r = responsibilities(x, log_prior, gate_mean, gate_var, "channel")
    u = x - per_component(mean)
    inverse = (var + options.eps).rsqrt()
    factor = inverse if scale is None else inverse * scale
    slope = factor if weight is None else factor * weight
    gr = g * r
    sums, products = gr.sum((1, 3)), gr.mul_(u).sum((1, 3))
    d_mean, d_var = -slope * sums, -0.5 * slope * products * inverse.square()
    gradients[D_MEAN], gradients[D_VAR] = d_mean, d_var
    gradients[D_SCALE] = inverse * products if weight is None else inverse * products * weight
    # the derivative by x of the term of component k, and h, both in the notation above
    if options.from_batch:
        mass = share * (x.shape[0] * x.shape[2]) + PSEUDO_COUNT
        by_mean, by_var = (d_mean + d_var * drag) / mass, d_var / mass
        direct = torch.addcmul(per_component(by_mean), g, per_component(slope))
        direct.addcmul_(per_component(by_var), u)
        h = torch.addcmul(per_component(-by_var * var), direct, u)
        direct.addcmul_(per_component(by_var), u)
    else:
        direct = g * per_component(slope)
        h = direct * u
    e = h.mul_(r)
    e.addcmul_(r, e.sum(0), value=-1)
    away = (x - per_component(gate_mean)).mul_(per_component(gate_var.reciprocal()))
    dx = direct.mul_(r).addcmul_(e, away, value=-1).sum(0)
    if tables_too:
        gradients[D_LOG_PRIOR] = e.sum((1, 3))
        gradients[D_GATE_MEAN] = e.mul_(away).sum((1, 3))
        squares = e.mul_(away).sum((1, 3))
        gradients[D_GATE_VAR] = 0.5 * (squares - gradients[D_LOG_PRIOR] / gate_var)
    return dx, gradients, (factor * products).sum(0), sums.sum(0)


def _positions_last(x: Tensor) -> Tensor:
    """Reshape (N, C, *) to contiguous (N, C, L), so that a few channels are close in memory."""
    return (x.unsqueeze(-1) if x.ndim == 2 else x.flatten(2)).contiguous()


def _copied_back(y: Tensor, out: Tensor) -> Tensor:
    """Copy the result back into y if it was computed in a temporary buffer `out` (N, C, L)."""
    return y if y.is_contiguous() else y.copy_(out.reshape(y.shape))


def chunks(x: Tensor, num_clusters: int) -> Iterator[slice]:
    """Split the channels of x (N, C, L) so that K copies of a part stay in the cache."""
    limit = CPU_CHUNK if x.device.type == "cpu" else GPU_CHUNK
    channels, bytes_each = x.shape[1], max(4, x.element_size())  # at least float32
    bytes_of_one = x.shape[0] * x.shape[2] * num_clusters * bytes_each
    step = max(1, limit // max(1, bytes_of_one))
    return (slice(start, start + step) for start in range(0, channels, step))
