"""The Triton kernels of the backward pass, in the notation of `by_channel`."""

import triton
import triton.language as tl

from dacbn.norms.mixture import arguments
from dacbn.norms.mixture.kernels.gpu_tiles import (
    DRAG,
    GATE_VAR,
    OFFSET,
    SHARE,
    VAR,
    assign,
    channels_of,
    load,
    no_sums,
    read,
    read_gate_of,
    read_sum,
    slopes_of,
    stretch_of,
    tile_at,
    write,
    write_sum,
)

# Rows of the constants from which the gradient of x is computed.
SLOPE, BY_MEAN, BY_VAR, DROP = tl.constexpr(0), tl.constexpr(1), tl.constexpr(2), tl.constexpr(3)
# Rows of the table of gradients.
D_LOG_PRIOR = tl.constexpr(arguments.D_LOG_PRIOR)
D_GATE_MEAN = tl.constexpr(arguments.D_GATE_MEAN)
D_GATE_VAR = tl.constexpr(arguments.D_GATE_VAR)
D_MEAN = tl.constexpr(arguments.D_MEAN)
D_VAR = tl.constexpr(arguments.D_VAR)
D_SCALE = tl.constexpr(arguments.D_SCALE)


@triton.jit
def add_gradients(sums, g, r, d, offsets, clusters: tl.constexpr):
    """Add g r and g r (d - offset) to the sums, in this order."""
    firsts, products = (), ()
    for k in tl.static_range(clusters):
        gr = g * r[k]
        firsts += (sums[k] + gr,)
        products += (sums[clusters + k] + gr * (d[k] - offsets[k]),)
    return firsts + products


@triton.jit
def sum_gradients(
    x, gradient, partial, table,
    count, length, positions, sample_stride, channel_stride, channels,
    clusters: tl.constexpr, rows: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """Sum g r and g r (d - offset) over a stretch, for the gradients of moments and affine."""
    c, inside = channels_of(channels, block)
    first, last = stretch_of(count, length)
    gate = read_gate_of(table, c, inside, channels, clusters)
    offsets = read(table, OFFSET, c, inside, channels, clusters)
    sums = no_sums(2 * clusters, rows, block)
    for start in range(first, last, rows):
        there, live = tile_at(
            start, last, c, inside, positions, sample_stride, channel_stride, rows
        )
        d, r = assign(load(x, there, live), live, gate, clusters)
        sums = add_gradients(sums, load(gradient, there, live), r, d, offsets, clusters)
    for i in tl.static_range(2 * clusters):
        write_sum(partial, i, sums[i], c, inside, channels)


@triton.jit
def pass_through_moments(
    partial, table, scale, weight, constants, gradients, d_weight, d_bias,
    eps, values, pseudo_count, stretches, channels, from_batch: tl.constexpr,
    clusters: tl.constexpr, rows: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """Compute the gradients of moments, scale and affine from the sums, and constants for dx."""
    c, inside = channels_of(channels, block)
    shares = read(table, SHARE, c, inside, channels, clusters)
    drags = read(table, DRAG, c, inside, channels, clusters)
    variances = read(table, VAR, c, inside, channels, clusters)
    slopes = slopes_of(table, scale, weight, eps, c, inside, channels, clusters)
    factors = slopes_of(table, scale, None, eps, c, inside, channels, clusters)
    weighted = slopes_of(table, None, weight, eps, c, inside, channels, clusters)
    by_mean, by_var, drops, d_means, d_variances, d_scales = (), (), (), (), (), ()
    to_weight = tl.zeros([1, block], tl.float32)
    to_bias = tl.zeros([1, block], tl.float32)
    for k in tl.static_range(clusters):
        total = read_sum(partial, k, stretches, c, inside, channels, rows)
        total = tl.sum(total, 0, keep_dims=True)
        product = read_sum(partial, clusters + k, stretches, c, inside, channels, rows)
        product = tl.sum(product, 0, keep_dims=True)
        d_mean = -slopes[k] * total
        d_var = -0.5 * slopes[k] * product / (variances[k] + eps)
        to_weight += factors[k] * product
        to_bias += total
        d_means += (d_mean,)
        d_variances += (d_var,)
        d_scales += (weighted[k] * product,)
        if from_batch:
            mass = shares[k] * values + pseudo_count
            by_mean += ((d_mean + d_var * drags[k]) / mass,)
            by_var += (d_var / mass,)
            drops += (d_var / mass * variances[k],)
        else:
            by_mean += (tl.zeros_like(total),)
            by_var += (tl.zeros_like(total),)
            drops += (tl.zeros_like(total),)
    write(constants, SLOPE, slopes, c, inside, channels, clusters)
    write(constants, BY_MEAN, by_mean, c, inside, channels, clusters)
    write(constants, BY_VAR, by_var, c, inside, channels, clusters)
    write(constants, DROP, drops, c, inside, channels, clusters)
    tl.store(d_weight + c, to_weight, mask=inside)
    tl.store(d_bias + c, to_bias, mask=inside)
    if gradients is not None:
        write(gradients, D_MEAN, d_means, c, inside, channels, clusters)
        write(gradients, D_VAR, d_variances, c, inside, channels, clusters)
        write(gradients, D_SCALE, d_scales, c, inside, channels, clusters)


@triton.jit
def inverses_of(table, c, inside, channels, clusters: tl.constexpr):
    """Invert the variances of the gate."""
    widths = read(table, GATE_VAR, c, inside, channels, clusters)
    inverses = ()
    for k in tl.static_range(clusters):
        inverses += (1 / widths[k],)
    return inverses


@triton.jit
def add_logits(sums, e, d, clusters: tl.constexpr):
    """Add e, e d and e d^2 to the sums, in this order."""
    zeroth, firsts, seconds = (), (), ()
    for k in tl.static_range(clusters):
        ed = e[k] * d[k]
        zeroth += (sums[k] + e[k],)
        firsts += (sums[clusters + k] + ed,)
        seconds += (sums[2 * clusters + k] + ed * d[k],)
    return zeroth + firsts + seconds


@triton.jit
def mix_gradients(
    x, gradient, dx, table, constants, partial,
    count, length, positions, sample_stride, channel_stride, channels,
    clusters: tl.constexpr, rows: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """Write the gradient of x, and sum the gradients e of the gate's logits if needed."""
    c, inside = channels_of(channels, block)
    first, last = stretch_of(count, length)
    gate = read_gate_of(table, c, inside, channels, clusters)
    inverse_vars = inverses_of(table, c, inside, channels, clusters)
    offsets = read(table, OFFSET, c, inside, channels, clusters)
    slopes = read(constants, SLOPE, c, inside, channels, clusters)
    by_mean = read(constants, BY_MEAN, c, inside, channels, clusters)
    by_var = read(constants, BY_VAR, c, inside, channels, clusters)
    drops = read(constants, DROP, c, inside, channels, clusters)
    sums = no_sums(0 if partial is None else 3 * clusters, rows, block)
    for start in range(first, last, rows):
        there, live = tile_at(
            start, last, c, inside, positions, sample_stride, channel_stride, rows
        )
        d, r = assign(load(x, there, live), live, gate, clusters)
        g = load(gradient, there, live)
        to_x = tl.zeros([rows, block], tl.float32)
        mean_h = tl.zeros([rows, block], tl.float32)
        h, e = (), ()
        for k in tl.static_range(clusters):
            u = d[k] - offsets[k]
            direct = g * slopes[k] + by_mean[k] + by_var[k] * u
            h += (direct * u - drops[k],)
            mean_h += r[k] * h[k]
            to_x += r[k] * (direct + by_var[k] * u)
        for k in tl.static_range(clusters):
            e += (r[k] * (h[k] - mean_h),)
            to_x -= e[k] * d[k] * inverse_vars[k]
        tl.store(dx + there, to_x, mask=live)
        if partial is not None:
            sums = add_logits(sums, e, d, clusters)
    if partial is not None:
        for i in tl.static_range(3 * clusters):
            write_sum(partial, i, sums[i], c, inside, channels)


@triton.jit
def find_gate_gradients(
    partial, table, gradients, stretches, channels,
    clusters: tl.constexpr, rows: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """Compute the gradients of the gate's log prior, means and variances from the sums."""
    c, inside = channels_of(channels, block)
    inverse_vars = inverses_of(table, c, inside, channels, clusters)
    d_priors, d_means, d_variances = (), (), ()
    for k in tl.static_range(clusters):
        e = tl.sum(read_sum(partial, k, stretches, c, inside, channels, rows), 0, keep_dims=True)
        ed = read_sum(partial, clusters + k, stretches, c, inside, channels, rows)
        edd = read_sum(partial, 2 * clusters + k, stretches, c, inside, channels, rows)
        d_priors += (e,)
        d_means += (tl.sum(ed, 0, keep_dims=True) * inverse_vars[k],)
        squares = tl.sum(edd, 0, keep_dims=True) * inverse_vars[k]
        d_variances += (0.5 * (squares - e) * inverse_vars[k],)
    write(gradients, D_LOG_PRIOR, d_priors, c, inside, channels, clusters)
    write(gradients, D_GATE_MEAN, d_means, c, inside, channels, clusters)
    write(gradients, D_GATE_VAR, d_variances, c, inside, channels, clusters)
