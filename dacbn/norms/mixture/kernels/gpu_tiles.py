"""Functions shared by the Triton kernels: tiles, tables, responsibilities, sums.

`by_channel` is the same computation in torch. The kernels read activations in place, in any float
type, and compute in float32; responsibilities stay in registers. A program processes one stretch of
a block of channels, tile by tile. A sum over a channel takes two kernels, one that sums within
stretches and one that sums over stretches, so that the same input always gives the same result.

Value m = 0 … count - 1 of channel c is at
(m // positions) * sample_stride + m % positions + c * channel_stride; if channels are contiguous,
each position counts as a sample. Tables are (rows, K, channels), partial sums
(sums, K, stretches, channels). If a tensor is None, its part of a kernel is compiled away.
"""

import triton
import triton.language as tl

from dacbn.norms.mixture import arguments

# Rows of the table that forward fills and backward reads; Triton accepts no other global numbers.
LOG_PRIOR = tl.constexpr(arguments.LOG_PRIOR)
GATE_MEAN = tl.constexpr(arguments.GATE_MEAN)
GATE_VAR = tl.constexpr(arguments.GATE_VAR)
SHARE = tl.constexpr(arguments.SHARE)
MEAN = tl.constexpr(arguments.MEAN)
VAR = tl.constexpr(arguments.VAR)
OFFSET = tl.constexpr(arguments.OFFSET)
DRAG = tl.constexpr(arguments.DRAG)


@triton.jit
def channels_of(channels, block: tl.constexpr):
    """Return the channel indices of this program, and the mask of valid ones."""
    c = tl.program_id(0) * block + tl.arange(0, block)[None, :]
    return c, c < channels


@triton.jit
def stretch_of(count, length):
    """Return the first value of this program and the end (exclusive)."""
    first = tl.program_id(1) * length
    return first, tl.minimum(first + length, count)


@triton.jit
def tile_at(first, last, c, inside, positions, sample_stride, channel_stride, rows: tl.constexpr):
    """Return the offsets in memory of values first, first + 1, … and the mask of valid ones."""
    m = first + tl.arange(0, rows)[:, None]
    there = (m // positions) * sample_stride + m % positions + c * channel_stride
    return there, (m < last) & inside


@triton.jit
def load(tensor, there, live):
    """Load values as float32, 0 where masked."""
    return tl.load(tensor + there, mask=live, other=0.0).to(tl.float32)


@triton.jit
def read(table, row: tl.constexpr, c, inside, channels, clusters: tl.constexpr):
    """Read a row of a table for every component, 1 where there is no channel."""
    values = ()
    for k in tl.static_range(clusters):
        at = (row * clusters + k) * channels + c
        values += (tl.load(table + at, mask=inside, other=1.0),)
    return values


@triton.jit
def write(table, row: tl.constexpr, values, c, inside, channels, clusters: tl.constexpr):
    """Write a row of a table for every component."""
    for k in tl.static_range(clusters):
        at = (row * clusters + k) * channels + c
        tl.store(table + at, values[k], mask=inside)


@triton.jit
def read_gate(log_prior, mean, var, c, inside, channels, clusters: tl.constexpr):
    """Read the mixture that assigns: means, factors of the distances, and levels of the logits."""
    means = read(mean, 0, c, inside, channels, clusters)
    variances = read(var, 0, c, inside, channels, clusters)
    priors = read(log_prior, 0, c, inside, channels, clusters)
    inverses, levels = (), ()
    for k in tl.static_range(clusters):
        inverses += (tl.sqrt(0.5 / variances[k]),)
        levels += (priors[k] - 0.5 * tl.log(variances[k]),)
    return means, inverses, levels


@triton.jit
def read_gate_of(table, c, inside, channels, clusters: tl.constexpr):
    """Read the mixture that assigns from the table of forward."""
    row = clusters * channels
    mean, var = table + GATE_MEAN * row, table + GATE_VAR * row
    return read_gate(table + LOG_PRIOR * row, mean, var, c, inside, channels, clusters)


@triton.jit
def assign(x, live, gate, clusters: tl.constexpr):
    """Compute distances to the component means, and responsibilities, 0 where masked."""
    means, inverses, levels = gate
    distances, logits, powers, r = (), (), (), ()
    for k in tl.static_range(clusters):
        d = x - means[k]
        z = d * inverses[k]
        distances += (d,)
        logits += (levels[k] - z * z,)
    top = logits[0]
    for k in tl.static_range(1, clusters):
        top = tl.maximum(top, logits[k])
    total = tl.zeros_like(top)
    for k in tl.static_range(clusters):
        powers += (tl.exp(logits[k] - top),)
        total += powers[k]
    share = tl.where(live, 1 / total, 0.0)
    for k in tl.static_range(clusters):
        r += (powers[k] * share,)
    return distances, r


@triton.jit
def slopes_of(table, scale, weight, eps, c, inside, channels, clusters: tl.constexpr):
    """Compute weight * scale / sqrt(var + eps) of every component."""
    variances = read(table, VAR, c, inside, channels, clusters)
    slopes = ()
    for k in tl.static_range(clusters):
        slope = tl.rsqrt(variances[k] + eps)
        if scale is not None:
            slope *= load(scale, k * channels + c, inside)
        if weight is not None:
            slope *= load(weight, c, inside)
        slopes += (slope,)
    return slopes


@triton.jit
def no_sums(terms: tl.constexpr, rows: tl.constexpr, block: tl.constexpr):
    """Return zero sums, one tile each."""
    sums = ()
    for _ in tl.static_range(terms):
        sums += (tl.zeros([rows, block], tl.float32),)
    return sums


@triton.jit
def write_sum(partial, i, value, c, inside, channels):
    """Write this program's part of sum i, after summing over the rows of the tile."""
    at = (i * tl.num_programs(1) + tl.program_id(1)) * channels + c
    tl.store(partial + at, tl.sum(value, 0, keep_dims=True), mask=inside)


@triton.jit
def read_sum(partial, i, stretches, c, inside, channels, rows: tl.constexpr):
    """Read all programs' parts of sum i, one row each, 0 after the last."""
    s = tl.arange(0, rows)[:, None]
    return load(partial, (i * stretches + s) * channels + c, inside & (s < stretches))
