"""Normalisation by a mixture per channel, a few channels at a time, with gradients by hand.

Autograd would keep a dozen tensors K times as large as the activations. Here a backward pass keeps
the activations and one small table, and computes responsibilities again; working on as many
channels as fit in the cache keeps everything else small.

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

from dacbn.norms.mixture.moments import (
    PSEUDO_COUNT,
    mix,
    per_component,
    responsibilities,
    weighted_moments,
)

# What forward leaves to backward, (TABLE_ROWS, K, C): logits' part without x, the gate's mean and
# variance, share, mean and variance of the batch, mean - gate's mean, and the variance's
# derivative by the mean. What the first row holds is the business of who wrote it.
TABLE_ROWS, SHARE, MEAN, VAR = 8, 3, 4, 5
# Gradients of log prior, gate's mean and variance, mean, variance and scale.
GRADIENT_ROWS = 6
# Bytes of one tensor of K components: of a CPU's cache, and enough to keep a GPU busy.
CPU_CHUNK, GPU_CHUNK = 1 << 20, 1 << 26


def chunked_forward(
    x: Tensor,
    log_prior: Tensor,
    gate_mean: Tensor,
    gate_var: Tensor,
    mean: Tensor,
    var: Tensor,
    scale: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
    from_batch: bool,
) -> tuple[Tensor, Tensor]:
    """Normalise x by a mixture, then scale and shift it.

    Args:
        x: (N, C, *), perhaps of a narrower type than the tables, in which everything is computed.
        log_prior: of the components that assign values, (K, C).
        gate_mean: of the components that assign values, (K, C).
        gate_var: of the components that assign values, (K, C), positive.
        mean: of the components that standardise, (K, C); with `from_batch`, before the batch.
        var: of the components that standardise, (K, C); with `from_batch`, before the batch.
        scale: of each component's term, (K, C).
        weight: (C,).
        bias: (C,).
        eps: added to `var`.
        from_batch: standardise by the weighted moments of x.

    Returns:
        the output, and the table for `chunked_backward`.
    """
    y, table = torch.empty_like(x), gate_mean.new_zeros(TABLE_ROWS, *gate_mean.shape)
    x, out = _by_channels(x), _by_channels(y)
    table[0], table[1], table[2], table[4], table[5] = log_prior, gate_mean, gate_var, mean, var
    for part in chunks(x, len(gate_mean)):
        some, row = x[:, part].to(table.dtype), table[:, :, part]
        r = responsibilities(some, row[0], row[1], row[2], "channel")
        if from_batch:
            before = mean[:, part]
            row[3], row[4], row[5] = weighted_moments(some, r, before, var[:, part])
            mass = row[3] * (x.shape[0] * x.shape[2]) + PSEUDO_COUNT
            row[7] = -2 * PSEUDO_COUNT * (row[4] - before) / mass
        if scale is not None:
            r = r * per_component(scale[:, part])
        mixed = mix(some, r, row[4], row[5] + eps)
        if weight is not None and bias is not None:
            mixed = torch.addcmul(bias[part, None], mixed, weight[part, None])
        out[:, part] = mixed
    table[6] = table[4] - table[1]
    return _written(y, out), table


def chunked_backward(
    gradient: Tensor,
    x: Tensor,
    table: Tensor,
    scale: Tensor | None,
    weight: Tensor | None,
    eps: float,
    from_batch: bool,
    tables_too: bool,
) -> tuple[Tensor, ...]:
    """Compute the gradients of `chunked_forward`.

    Args:
        gradient: of the output, (N, C, *).
        x: as in forward.
        table: from forward.
        scale: as in forward.
        weight: as in forward.
        eps: as in forward.
        from_batch: as in forward.
        tables_too: gradients of tables (K, C) are wanted.

    Returns:
        the gradient of x; with `tables_too` those of log prior, gate's mean, gate's variance, mean,
        variance and scale, (6, K, C), of which mean and variance are of no use with `from_batch`;
        those of weight and bias, (C,) each.
    """
    _, clusters, channels = table.shape
    dx = torch.empty_like(x)
    d_weight, d_bias = table.new_empty(channels), table.new_empty(channels)
    gradients = table.new_empty(GRADIENT_ROWS if tables_too else 0, clusters, channels)
    x, gradient, out = _by_channels(x), _by_channels(gradient), _by_channels(dx)
    for part in chunks(x, clusters):
        out[:, part], found, d_weight[part], d_bias[part] = _backward(
            gradient[:, part].to(table.dtype),
            x[:, part].to(table.dtype),
            table[:, :, part],
            None if scale is None else scale[:, part],
            None if weight is None else weight[part],
            eps,
            from_batch,
            tables_too,
        )
        if tables_too:
            gradients[:, :, part] = found
    return _written(dx, out), gradients, d_weight, d_bias


def _backward(
    g: Tensor,
    x: Tensor,
    table: Tensor,
    scale: Tensor | None,
    weight: Tensor | None,
    eps: float,
    from_batch: bool,
    tables_too: bool,
) -> tuple[Tensor, ...]:
    log_prior, gate_mean, gate_var, share, mean, var, _, drag = table
    gradients = torch.zeros_like(table[:GRADIENT_ROWS])
    r = responsibilities(x, log_prior, gate_mean, gate_var, "channel")
    u = x - per_component(mean)
    inverse = (var + eps).rsqrt()
    factor = inverse if scale is None else inverse * scale
    slope = factor if weight is None else factor * weight
    gr = g * r
    sums, products = gr.sum((1, 3)), gr.mul_(u).sum((1, 3))
    d_mean, d_var = -slope * sums, -0.5 * slope * products * inverse.square()
    gradients[3], gradients[4] = d_mean, d_var
    gradients[5] = inverse * products if weight is None else inverse * products * weight
    # the derivative by x of what component k adds, and h, both in the notation above
    if from_batch:
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
        gradients[0] = e.sum((1, 3))
        gradients[1] = e.mul_(away).sum((1, 3))
        gradients[2] = 0.5 * (e.mul_(away).sum((1, 3)) - gradients[0] / gate_var)
    return dx, gradients, (factor * products).sum(0), sums.sum(0)


def _by_channels(x: Tensor) -> Tensor:
    """Lay (N, C, *) out as (N, C, L), positions last: a few channels of it are close together."""
    return (x.unsqueeze(-1) if x.ndim == 2 else x.flatten(2)).contiguous()


def _written(y: Tensor, by_channels: Tensor) -> Tensor:
    """Bring into y what was written by channels, unless that was y itself."""
    return y if y.is_contiguous() else y.copy_(by_channels.reshape(y.shape))


def chunks(x: Tensor, num_clusters: int) -> Iterator[slice]:
    """Split the channels of x (N, C, L) so that K copies of a part stay in the cache."""
    limit = CPU_CHUNK if x.device.type == "cpu" else GPU_CHUNK
    channels, bytes_each = x.shape[1], max(4, x.element_size())  # half precision is widened
    step = max(1, limit // (x.shape[0] * x.shape[2] * num_clusters * bytes_each))
    return (slice(start, start + step) for start in range(0, channels, step))
