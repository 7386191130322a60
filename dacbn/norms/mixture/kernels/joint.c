/* Normalise by a Gaussian mixture that assigns all channels of a position at once, forward and
   backward, in float32. A sample of one position is such a position too.

   `by_position.py` is the same computation in torch. Here a tile of activations is assigned and
   summed up while it is in the cache, so that a call needs the memory traffic of BatchNorm, and
   all that is done with tables is part of the call: on short activations each operation of torch
   costs more than its arithmetic.

   COMPONENTS, the number K of components, is a constant, so that the compiler unrolls over it.
   Tables are (rows, K, C), responsibilities (K, room), with the positions of all samples in a row
   and room for whole vectors. NaN and infinity pass through: compile without -ffast-math.

   The headers, from the bottom up: `cpu_vectors.h`, memory layout, passes over a tile, computations
   between passes. This file orders the passes and runs the threads. */

#include <stdlib.h>

#include "joint_moments.h"

enum { MEASURE, MOMENTS, MIX, GRADIENTS, MIX_GRADIENTS };

/* One pass over all tiles by all threads; what each adds up ends in that of the first. */
static void sweep(const Call *call, int pass, const double *level, const float *drop,
                  const Tables *tables, Work *works) {
    const Layout *l = &call->layout;
    int64_t size = K * l->wide;
#pragma omp parallel for schedule(static) num_threads(call->threads) if (call->threads > 1)
    for (int64_t thread = 0; thread < call->threads; thread++) {
        Work *w = works + thread;
        memset(w->sums[0], 0, (2 * size + K) * sizeof(double)); /* the mass follows the sums */
        int64_t first = l->tiles * thread / call->threads;
        int64_t last = l->tiles * (thread + 1) / call->threads;
        for (int64_t t = first; t < last; t++) {
            Tile x = tile_of(l, call->x, t, w->x, 1), g = x, out;
            float *r = call->r;
            if (pass == GRADIENTS || pass == MIX_GRADIENTS)
                g = tile_of(l, call->gradient, t, w->g, 1);
            if (pass == MEASURE && call->given) {
                EACH_COMPONENT for (int64_t i = 0; i < whole(x.count); i++) {
                    int64_t unit = x.first + i;
                    float weight = i < x.count ? call->given[k * l->units + unit] : 0;
                    r[k * l->room + unit] = weight, w->mass[k] += weight;
                }
            } else if (pass == MEASURE) {
                if (l->by_unit && call->route == LINEAR) measure(l, tables, w, x, 1, 1);
                else if (l->by_unit) measure(l, tables, w, x, 0, 1);
                else if (call->route == LINEAR) measure(l, tables, w, x, 1, 0);
                else measure(l, tables, w, x, 0, 0);
                assign(l, level, w, x, r);
            }
            if (pass == MOMENTS || (pass == MEASURE && call->from_batch)) {
                int moved = pass == MOMENTS;
                if (l->by_unit && moved) sum_up(l, tables, w, x, g, r, 0, 1, 1);
                else if (l->by_unit) sum_up(l, tables, w, x, g, r, 0, 0, 1);
                else if (moved) sum_up(l, tables, w, x, g, r, 0, 1, 0);
                else sum_up(l, tables, w, x, g, r, 0, 0, 0);
            }
            if (pass == MIX) {
                out = tile_of(l, call->y, t, w->out, 0);
                if (l->by_unit) mix(l, tables, x, out, r, 1);
                else mix(l, tables, x, out, r, 0);
                tile_of(l, call->y, t, w->out, -1);
            }
            if (pass == GRADIENTS) {
                if (l->by_unit) sum_up(l, tables, w, x, g, r, 1, 1, 1);
                else sum_up(l, tables, w, x, g, r, 1, 1, 0);
            }
            if (pass == MIX_GRADIENTS) {
                out = tile_of(l, call->dx, t, w->out, 0);
                if (call->route != CONSTANT) {
                    if (l->by_unit) sum_over_channels(l, tables, w, x, g, 1);
                    else sum_over_channels(l, tables, w, x, g, 0);
                    pass_softmax(l, drop, w, x, r, call->route != GIVEN);
                }
                if (call->route == GIVEN)
                    EACH_COMPONENT memcpy(call->d_given + k * l->units + x.first,
                                          w->h + k * l->height, x.count * sizeof(float));
                int too = call->gate_too;
#define SPREAD(route, too)                                                         \
    do {                                                                           \
        if (l->by_unit) spread(l, tables, w, x, g, out, r, route, too, 1);         \
        else spread(l, tables, w, x, g, out, r, route, too, 0);                    \
    } while (0)
                if (call->route == LINEAR) SPREAD(LINEAR, 1);
                else if (call->route != BY_GATE) SPREAD(CONSTANT, 0);
                else if (too) SPREAD(BY_GATE, 1);
                else SPREAD(BY_GATE, 0);
                tile_of(l, call->dx, t, w->out, -1);
            }
        }
    }
    for (int thread = 1; thread < call->threads; thread++)
        for (int64_t i = 0; i < 2 * size + K; i++)
            works->sums[0][i] += works[thread].sums[0][i];
}

static void forward(const Call *call, const Tables *tables, Work *works) {
    double level[K], mass[K];
    open_gate(call, tables, level);
    sweep(call, MEASURE, level, 0, tables, works);
    memcpy(mass, works->mass, sizeof mass);
    if (!call->from_batch) take_moments(call, mass);
    /* Sum a second time only if the first shift was too far from a mean. */
    else if (find_moments(call, tables, mass, works)) {
        sweep(call, MOMENTS, 0, 0, tables, works);
        find_moments(call, tables, mass, works);
    }
    if (call->prior)
        follow(call->prior, call->mean, call->var, row_of(call, SHARE), row_of(call, MEAN),
               row_of(call, VAR), K, call->layout.channels, 1, call->layout.channels,
               call->layout.units, call->momentum);
    if (!call->y) return;
    prepare_mix(call, tables);
    sweep(call, MIX, 0, 0, tables, works);
}

static void backward(const Call *call, const Tables *tables, Work *works) {
    const Layout *l = &call->layout;
    const int64_t channels = l->channels;
    const int linear = call->route == LINEAR;
    float drop[K];
    EACH_ENTRY {
        tables->pivot[WIDE] = AT(GATE_MEAN), tables->shift[WIDE] = AT(OFFSET);
        tables->inverse_var[WIDE] = linear ? -AT(GATE_VAR) : 1 / AT(GATE_VAR);
    }
    sweep(call, GRADIENTS, 0, 0, tables, works);
    pass_through_moments(call, tables, works, drop);
    sweep(call, MIX_GRADIENTS, 0, drop, tables, works);
    if (call->gradients && (call->route == BY_GATE || linear)) find_gate_gradients(call, works);
}

/* Divide one piece of memory, of zeros, among the tables and the threads; nonzero if it is out. */
static int run(const Call *call, int backwards) {
    const Layout *l = &call->layout;
    int64_t size = K * l->wide, tile = l->in_place ? 0 : packed_size(l), sums = 2 * size + K + 8;
    int64_t floats = 7 * size + 4 * l->wide, each = 2 * size + 3 * tile + K * l->height;
    int64_t doubles = size + call->threads * (sums + K * l->height);
    double *memory = calloc(doubles * 2 + floats + call->threads * each, sizeof(float));
    if (!memory) return 1;
    double *wides = memory;
    float *narrows = (float *)(memory + doubles);
#define TAKE(from, count) ((from) += (count), (from) - (count))
    Tables tables = {.precision = TAKE(wides, size)};
    float **each_table[] = {&tables.pivot, &tables.shift, &tables.slope, &tables.level,
                            &tables.by_mean, &tables.by_var, &tables.inverse_var};
    for (int i = 0; i < 7; i++) *each_table[i] = TAKE(narrows, size);
    tables.bias = TAKE(narrows, l->wide), tables.weight = TAKE(narrows, l->wide);
    tables.mean = TAKE(narrows, l->wide), tables.least = TAKE(narrows, l->wide);
    Work works[call->threads];
    for (int thread = 0; thread < call->threads; thread++) {
        Work *w = works + thread;
        w->sums[0] = TAKE(wides, sums), w->sums[1] = w->sums[0] + size;
        w->mass = w->sums[1] + size, w->joint = TAKE(wides, K * l->height);
        w->lines[0] = TAKE(narrows, size), w->lines[1] = TAKE(narrows, size);
        w->x = TAKE(narrows, tile), w->g = TAKE(narrows, tile), w->out = TAKE(narrows, tile);
        w->h = TAKE(narrows, K * l->height);
    }
    if (backwards) backward(call, &tables, works);
    else forward(call, &tables, works);
    free(memory);
    return 0;
}

/* A linear gate has no means, its weights in `gate_var`, and its bias in `log_prior`. */
int joint_forward(const float *x, float *y, float *r, float *table, const float *log_prior,
                  const float *gate_mean, const float *gate_var, float *prior, float *mean,
                  float *var, const float *scale, const float *weight, const float *bias,
                  const float *given, int64_t samples, int64_t channels, int64_t positions,
                  int by_unit, int from_batch, int by_share, int shares, double eps,
                  double pseudo_count, double least_var, double gate_eps, double momentum,
                  int threads) {
    Call call = {.layout = layout_of(samples, channels, positions, by_unit), .x = x, .y = y,
                 .r = r, .table = table, .log_prior = log_prior, .gate_mean = gate_mean,
                 .gate_var = gate_var, .prior = prior, .mean = mean, .var = var, .scale = scale,
                 .weight = weight, .bias = bias, .given = given, .eps = eps, .gate_eps = gate_eps,
                 .momentum = momentum, .pseudo_count = pseudo_count, .least_var = least_var,
                 .from_batch = from_batch, .by_share = by_share, .shares = shares,
                 .threads = threads, .route = given ? GIVEN : gate_mean ? BY_GATE : LINEAR};
    return run(&call, 0);
}

int joint_backward(const float *x, const float *gradient, float *r, float *table, float *dx,
                   float *gradients, float *d_given, float *d_weight, float *d_bias,
                   const float *scale, const float *weight, int64_t samples, int64_t channels,
                   int64_t positions, int by_unit, int from_batch, int by_share, int route,
                   int gate_too, double eps, double pseudo_count, double least_var, int threads) {
    Call call = {.layout = layout_of(samples, channels, positions, by_unit), .x = x,
                 .gradient = gradient, .r = r, .table = table, .dx = dx, .gradients = gradients,
                 .d_given = d_given, .d_weight = d_weight, .d_bias = d_bias, .scale = scale,
                 .weight = weight, .eps = eps, .pseudo_count = pseudo_count,
                 .least_var = least_var, .from_batch = from_batch, .by_share = by_share,
                 .route = route, .gate_too = gate_too, .threads = threads};
    return run(&call, 1);
}
