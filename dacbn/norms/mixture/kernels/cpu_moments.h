/* Computations between passes over a block: sums become moments, moments become constants, and
   gradients are propagated back. Each lane computes for its channel, in double. */

#pragma once

#include "cpu_tiles.h"

/* Rows of the table that forward fills and backward reads, as in arguments.py. */
enum { LEVEL, GATE_MEAN, GATE_VAR, SHARE, MEAN, VAR, OFFSET, DRAG };
/* Rows of the table of gradients, as in arguments.py. */
enum { D_LOG_PRIOR, D_GATE_MEAN, D_GATE_VAR, D_MEAN, D_VAR, D_SCALE };

/* The arguments of a call. All activations have the same layout; tables are (rows, K, C). */
typedef struct {
    Layout layout;
    value *x, *y, *gradient, *dx;
    float *table, *gradients, *d_weight, *d_bias;
    const float *mean, *var, *scale, *weight, *bias;
    double eps, pseudo_count;
    int from_batch, passes, gate_too;
} Call;

/* Read a table's row for component k, in the channel of every lane; 0 if there is no table. */
INLINE wide read(const Call *call, const Block *b, const float *table, int row, int k) {
    wide v = {0};
    if (!table) return v;
    table += (row * K + k) * call->layout.channels;
    if (b->in_order) return __builtin_convertvector(load(table + b->channel[0]), wide);
    EACH_LANE v[lane] = table[b->channel[lane]];
    return v;
}

INLINE void write(const Call *call, const Block *b, float *table, int row, int k, wide v) {
    if (!table) return;
    table += (row * K + k) * call->layout.channels;
    if (b->in_order) store(table + b->channel[0], narrow(v));
    else for (int lane = 0; lane < b->width; lane++) table[b->channel[lane]] = (float)v[lane];
}

/* Add up the lanes of each channel; every lane gets the total of its channel. */
INLINE wide total(const Call *call, const Block *b, int sum, int k) {
    int64_t lanes = call->layout.per_channel;
    wide v = b->sums[sum][k];
    for (int64_t first = 0; lanes > 1 && first < LANES; first += lanes) {
        double all = 0;
        for (int64_t i = first; i < first + lanes; i++) all += v[i];
        for (int64_t i = first; i < first + lanes; i++) v[i] = all;
    }
    return v;
}

INLINE wide scale_of(const Call *call, const Block *b, int k) {
    return call->scale ? read(call, b, call->scale, 0, k) : (wide){0} + 1;
}

INLINE wide weight_of(const Call *call, const Block *b) {
    return call->weight ? read(call, b, call->weight, 0, 0) : (wide){0} + 1;
}

static void open_block(const Call *call, Block *b, int64_t block) {
    const Layout *l = &call->layout;
    memset(b, 0, sizeof *b);
    b->width = l->by_columns ? least(LANES, l->columns - block * LANES) : LANES;
    EACH_LANE b->channel[lane] = channel_of(l, block, lane);
    b->in_order = l->per_channel == 1 && b->width == LANES;
    for (int k = 0; k < K; k++) {
        const double log2_e = 1.4426950408889634;
        wide var = read(call, b, call->table, GATE_VAR, k);
        b->gate.mean[k] = narrow(read(call, b, call->table, GATE_MEAN, k));
        b->gate.inverse[k] = narrow(root(0.5 * log2_e / var));
        b->gate.level[k] = narrow(log2_e * read(call, b, call->table, LEVEL, k));
        b->inverse_var[k] = narrow(1 / var);
    }
}

/* Compute moments from sums; returns whether a mean is too far from its shift for an exact
   variance: the sums of a tile have errors of 3e-7, and the variance up to 17 times as much. */
static int find_moments(const Call *call, Block *b) {
    const double pseudo_count = call->pseudo_count;
    int far = 0;
    for (int k = 0; k < K; k++) {
        wide mass = total(call, b, 0, k), sum = total(call, b, 1, k);
        wide squares = total(call, b, 2, k);
        wide shift = __builtin_convertvector(b->shift[k], wide);
        wide from = read(call, b, call->table, GATE_MEAN, k);
        wide before = read(call, b, call->mean, 0, k) - from, count = mass + pseudo_count;
        wide offset = (sum + mass * shift + pseudo_count * before) / count, away = offset - shift;
        squares += away * (mass * away - 2 * sum);
        longs beyond = mass * away * away > 16 * squares;
        for (int lane = 0; lane < b->width; lane++) far |= beyond[lane] != 0;
        squares = (wide)((longs)squares & ~(squares < 0)); /* NaN stays */
        wide var = (squares + pseudo_count * read(call, b, call->var, 0, k)) / count;
        double values = (double)call->layout.samples * call->layout.positions;
        write(call, b, call->table, SHARE, k, mass / values);
        write(call, b, call->table, MEAN, k, from + offset);
        write(call, b, call->table, VAR, k, var);
        write(call, b, call->table, OFFSET, k, offset);
        write(call, b, call->table, DRAG, k, -2 * pseudo_count * (offset - before) / count);
        b->shift[k] = narrow(offset);
    }
    memset(b->sums, 0, sizeof b->sums);
    return far;
}

static void take_moments(const Call *call, Block *b) {
    for (int k = 0; k < K; k++) {
        wide mean = read(call, b, call->mean, 0, k);
        wide offset = mean - read(call, b, call->table, GATE_MEAN, k);
        write(call, b, call->table, MEAN, k, mean);
        write(call, b, call->table, VAR, k, read(call, b, call->var, 0, k));
        write(call, b, call->table, OFFSET, k, offset);
    }
}

static void prepare_mix(const Call *call, Block *b) {
    for (int k = 0; k < K; k++) {
        wide std = root(read(call, b, call->table, VAR, k) + call->eps);
        wide slope = weight_of(call, b) * scale_of(call, b, k) / std;
        b->slope[k] = narrow(slope);
        b->level[k] = narrow(-slope * read(call, b, call->table, OFFSET, k));
    }
    b->bias = narrow(read(call, b, call->bias, 0, 0));
}

/* Compute the gradients of moments, scale and affine from the sums, and the constants of dx. */
static void pass_through_moments(const Call *call, Block *b) {
    wide weight = weight_of(call, b), d_weight = {0}, d_bias = {0};
    for (int k = 0; k < K; k++) {
        wide sum = total(call, b, 0, k), product = total(call, b, 1, k);
        wide var = read(call, b, call->table, VAR, k), inverse = 1 / root(var + call->eps);
        wide scale = scale_of(call, b, k), slope = weight * scale * inverse;
        wide d_mean = -slope * sum, d_var = -0.5 * slope * product * inverse * inverse;
        b->slope[k] = narrow(slope);
        d_weight += scale * inverse * product, d_bias += sum;
        write(call, b, call->gradients, D_SCALE, k, weight * inverse * product);
        write(call, b, call->gradients, D_MEAN, k, d_mean);
        write(call, b, call->gradients, D_VAR, k, d_var);
        if (!call->from_batch) continue;
        double values = (double)call->layout.samples * call->layout.positions;
        wide count = read(call, b, call->table, SHARE, k) * values + call->pseudo_count;
        d_mean += d_var * read(call, b, call->table, DRAG, k);
        b->by_mean[k] = narrow(d_mean / count);
        b->by_var[k] = narrow(d_var / count);
        b->drop[k] = narrow(d_var * var / count);
    }
    write(call, b, call->d_weight, 0, 0, d_weight);
    write(call, b, call->d_bias, 0, 0, d_bias);
    memset(b->sums, 0, sizeof b->sums);
}

/* Take what `pass_through_moments` finds from the gradients of all processes' sums. */
static void take_gradients(const Call *call, Block *b) {
    for (int k = 0; k < K; k++) {
        wide var = read(call, b, call->table, VAR, k);
        wide by_var = read(call, b, call->gradients, D_VAR, k);
        wide slope = weight_of(call, b) * scale_of(call, b, k) / root(var + call->eps);
        b->slope[k] = narrow(slope);
        b->by_mean[k] = narrow(read(call, b, call->gradients, D_MEAN, k));
        b->by_var[k] = narrow(by_var);
        b->drop[k] = narrow(by_var * var);
    }
}

static void find_gate_gradients(const Call *call, Block *b) {
    for (int k = 0; k < K; k++) {
        wide var = read(call, b, call->table, GATE_VAR, k), e = total(call, b, 0, k);
        write(call, b, call->gradients, D_LOG_PRIOR, k, e);
        write(call, b, call->gradients, D_GATE_MEAN, k, total(call, b, 1, k) / var);
        wide d_var = 0.5 * (total(call, b, 2, k) / var - e) / var;
        write(call, b, call->gradients, D_GATE_VAR, k, d_var);
    }
}
