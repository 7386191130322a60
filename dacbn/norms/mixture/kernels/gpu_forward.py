"""The Triton kernels of the forward pass: sums, moments, output."""

import triton
import triton.language as tl

from dacbn.norms.mixture.kernels.gpu_tiles import (
    DRAG,
    GATE_MEAN,
    GATE_VAR,
    LOG_PRIOR,
    MEAN,
    OFFSET,
    SHARE,
    VAR,
    assign,
    channels_of,
    load,
    no_sums,
    read,
    read_gate,
    read_gate_of,
    read_sum,
    slopes_of,
    stretch_of,
    tile_at,
    write,
    write_sum,
)

# Avoids a division by zero if a component has no mass in a tile.
LEAST_MASS = tl.constexpr(1e-30)


@triton.jit
def add_moments(sums, r, d, pivots, clusters: tl.constexpr):
    """Add r, r (d - pivot) and r (d - pivot)^2 to the sums, in this order."""
    masses, firsts, seconds = (), (), ()
    for k in tl.static_range(clusters):
        u = d[k] - pivots[k]
        masses += (sums[k] + r[k],)
        firsts += (sums[clusters + k] + r[k] * u,)
        seconds += (sums[2 * clusters + k] + r[k] * u * u,)
    return masses + firsts + seconds


@triton.jit
def sum_moments(
    x, partial, log_prior, gate_mean, gate_var,
    count, length, positions, sample_stride, channel_stride, channels,
    clusters: tl.constexpr, rows: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """Sum the moments of a stretch around pivots, which are written as a fourth sum.

    The pivots are the means of the stretch's first tile, relative to the gate's means. So squares
    stay small if the gate's means are far from the data, and if a variance is small.
    """
    c, inside = channels_of(channels, block)
    first, last = stretch_of(count, length)
    gate = read_gate(log_prior, gate_mean, gate_var, c, inside, channels, clusters)
    there, live = tile_at(first, last, c, inside, positions, sample_stride, channel_stride, rows)
    d, r = assign(load(x, there, live), live, gate, clusters)
    pivots = ()
    for k in tl.static_range(clusters):
        mass = tl.sum(r[k], 0, keep_dims=True)
        pivots += (tl.sum(r[k] * d[k], 0, keep_dims=True) / tl.maximum(mass, LEAST_MASS),)
    sums = add_moments(no_sums(3 * clusters, rows, block), r, d, pivots, clusters)
    for start in range(first + rows, last, rows):
        there, live = tile_at(
            start, last, c, inside, positions, sample_stride, channel_stride, rows
        )
        d, r = assign(load(x, there, live), live, gate, clusters)
        sums = add_moments(sums, r, d, pivots, clusters)
    for i in tl.static_range(3 * clusters):
        write_sum(partial, i, sums[i], c, inside, channels)
    for k in tl.static_range(clusters):
        write_sum(partial, 3 * clusters + k, pivots[k], c, inside, channels)


@triton.jit
def find_moments(
    partial, table, log_prior, gate_mean, gate_var, mean, var,
    values, pseudo_count, stretches, channels,
    clusters: tl.constexpr, rows: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """Fill the table with moments computed from the sums, or without sums with those given."""
    c, inside = channels_of(channels, block)
    priors = read(log_prior, 0, c, inside, channels, clusters)
    centres = read(gate_mean, 0, c, inside, channels, clusters)
    widths = read(gate_var, 0, c, inside, channels, clusters)
    means = read(mean, 0, c, inside, channels, clusters)
    variances = read(var, 0, c, inside, channels, clusters)
    shares, offsets, drags, new_means, new_variances = (), (), (), (), ()
    for k in tl.static_range(clusters):
        before = means[k] - centres[k]
        if partial is None:
            shares += (tl.zeros_like(before),)
            offsets += (before,)
            drags += (tl.zeros_like(before),)
            new_means += (means[k],)
            new_variances += (variances[k],)
        else:
            mass = read_sum(partial, k, stretches, c, inside, channels, rows)
            first = read_sum(partial, clusters + k, stretches, c, inside, channels, rows)
            second = read_sum(partial, 2 * clusters + k, stretches, c, inside, channels, rows)
            pivot = read_sum(partial, 3 * clusters + k, stretches, c, inside, channels, rows)
            total = tl.sum(mass, 0, keep_dims=True)
            weight = total + pseudo_count
            offset = tl.sum(mass * pivot + first, 0, keep_dims=True) + pseudo_count * before
            offset /= weight
            away = pivot - offset
            squares = tl.sum(second + away * (2 * first + mass * away), 0, keep_dims=True)
            shares += (total / values,)
            offsets += (offset,)
            drags += (-2 * pseudo_count * (offset - before) / weight,)
            new_means += (centres[k] + offset,)
            new_variances += ((tl.maximum(squares, 0.0) + pseudo_count * variances[k]) / weight,)
    write(table, LOG_PRIOR, priors, c, inside, channels, clusters)
    write(table, GATE_MEAN, centres, c, inside, channels, clusters)
    write(table, GATE_VAR, widths, c, inside, channels, clusters)
    write(table, SHARE, shares, c, inside, channels, clusters)
    write(table, MEAN, new_means, c, inside, channels, clusters)
    write(table, VAR, new_variances, c, inside, channels, clusters)
    write(table, OFFSET, offsets, c, inside, channels, clusters)
    write(table, DRAG, drags, c, inside, channels, clusters)


@triton.jit
def mix(
    x, y, table, scale, weight, bias, eps,
    count, length, positions, sample_stride, channel_stride, channels,
    clusters: tl.constexpr, rows: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """Write sum_k r_k slope_k (d_k - offset_k) + bias."""
    c, inside = channels_of(channels, block)
    first, last = stretch_of(count, length)
    gate = read_gate_of(table, c, inside, channels, clusters)
    offsets = read(table, OFFSET, c, inside, channels, clusters)
    slopes = slopes_of(table, scale, weight, eps, c, inside, channels, clusters)
    for start in range(first, last, rows):
        there, live = tile_at(
            start, last, c, inside, positions, sample_stride, channel_stride, rows
        )
        d, r = assign(load(x, there, live), live, gate, clusters)
        mixed = tl.zeros([rows, block], tl.float32)
        for k in tl.static_range(clusters):
            mixed += r[k] * ((d[k] - offsets[k]) * slopes[k])
        if bias is not None:
            mixed += load(bias, c, inside)
        tl.store(y + there, mixed, mask=live)
