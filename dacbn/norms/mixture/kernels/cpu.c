/* Normalise by a Gaussian mixture per channel, forward and backward, in float32.

   `by_channel.py` is the same computation in torch. Here values are read in place, bfloat16 as it
   is, and their responsibilities stay in registers or in the cache, so that a call needs the memory
   traffic of BatchNorm.

   The unit of work is a block, a sequence of vectors. If the positions of a channel are contiguous,
   a block is one channel. If they are not, as in (N, C) and channels_last, or if a vector holds
   the positions of several channels, a block is as many neighbouring channels as fit in a vector,
   row after row. The rest of the code is the same for both, because constants are vectors too.
   Blocks are processed tile by tile: sums within a tile are in float32, which is accurate enough
   for so few terms, and sums over tiles in double.

   COMPONENTS, the number K of components, is a constant, so that the compiler unrolls over it.
   Tables are (rows, K, C). NaN and infinity pass through: compile without -ffast-math.

   The headers, from the bottom up: vectors, memory layout, passes over a tile, computations between
   passes. This file orders the passes and runs the threads. */

#include <stdlib.h>

#include "cpu_moments.h"
#include "running.h"

/* Responsibilities are kept between two passes over a block if they need at most this much. */
static const int64_t KEPT_BYTES = 3 << 19;

/* Buffers of one thread: packed tiles, and responsibilities (or null, if they are not kept). */
typedef struct { value *x, *g; float *kept; } Buffers;

enum { MOMENTS, MIX, GRADIENTS, MIX_GRADIENTS };
/* Which passes a call makes: both, or only one, because the other processes that share the batch
   add to what the first finds before the second. */
enum { ALL, FIRST, SECOND };

/* Pass over blocks first ... first + count - 1, tile by tile. */
static void sweep(const Call *call, int pass, Block *blocks, int64_t first, int64_t count,
                  Buffers buffers) {
    const Layout *l = &call->layout;
    int backward = pass == GRADIENTS || pass == MIX_GRADIENTS;
    value *to = backward ? call->dx : call->y;
    for (int64_t t = 0; t < l->tiles; t++) {
        vec edge = edge_of(l, t);
        Tile x, g;
        for (int64_t i = 0; i < count; i++) {
            int64_t block = first + i;
            Block *b = blocks + i;
            x = tile_of(l, call->x, block, t, buffers.x, 1), g = x;
            if (backward) g = tile_of(l, call->gradient, block, t, buffers.g, 1);
            if (pass == MOMENTS) sum_moments(b, x, edge, buffers.kept);
            if (pass == GRADIENTS) sum_gradients(b, x, g, edge, buffers.kept);
            if (pass == MOMENTS || pass == GRADIENTS) continue;
            Tile out = tile_of(l, to, block, t, buffers.x, 0);
            if (pass == MIX) mix(b, x, out, edge, buffers.kept);
            else if (call->gate_too) mix_gradients(b, x, g, out, edge, buffers.kept, 1);
            else mix_gradients(b, x, g, out, edge, buffers.kept, 0);
            tile_of(l, to, block, t, buffers.x, -1);
        }
        if (buffers.kept) buffers.kept += x.count * K * LANES;
    }
}

static void forward_blocks(const Call *call, Block *blocks, int64_t first, int64_t count,
                           Buffers buffers) {
    for (int64_t i = 0; i < count; i++) open_block(call, blocks + i, first + i);
    /* Sum a second time only if the first shift was too far from a mean. */
    int sums = call->from_batch && call->passes != SECOND;
    for (int again = sums, times = 0; again && times < 2; times++) {
        sweep(call, MOMENTS, blocks, first, count, buffers);
        again = 0;
        for (int64_t i = 0; i < count; i++) again |= find_moments(call, blocks + i);
    }
    if (call->passes == FIRST) return;
    if (!sums) buffers.kept = 0;
    for (int64_t i = 0; !call->from_batch && i < count; i++) take_moments(call, blocks + i);
    for (int64_t i = 0; i < count; i++) prepare_mix(call, blocks + i);
    sweep(call, MIX, blocks, first, count, buffers);
}

static void backward_blocks(const Call *call, Block *blocks, int64_t first, int64_t count,
                            Buffers buffers) {
    for (int64_t i = 0; i < count; i++) {
        open_block(call, blocks + i, first + i);
        for (int k = 0; k < K; k++)
            blocks[i].shift[k] = narrow(read(call, blocks + i, call->table, OFFSET, k));
    }
    if (call->passes == SECOND) {
        buffers.kept = 0;
        for (int64_t i = 0; i < count; i++) take_gradients(call, blocks + i);
    } else {
        sweep(call, GRADIENTS, blocks, first, count, buffers);
        for (int64_t i = 0; i < count; i++) pass_through_moments(call, blocks + i);
        if (call->passes == FIRST) return;
    }
    sweep(call, MIX_GRADIENTS, blocks, first, count, buffers);
    for (int64_t i = 0; call->gate_too && i < count; i++) find_gate_gradients(call, blocks + i);
}

/* Split the blocks over threads; returns nonzero if memory runs out. */
static int run(const Call *call, int threads, int backward) {
    const Layout *l = &call->layout;
    int64_t kept_bytes = l->vectors * K * BYTES;
    int fits = K > 1 && kept_bytes <= KEPT_BYTES, keeps = fits && call->passes == ALL, failed = 0;
    /* Columns that do not fit in the cache are read from memory in whole rows: a thread processes
       all its blocks at once, tile by tile. */
    int64_t group = !l->by_columns || fits ? 1 : (l->blocks + threads - 1) / threads;
#pragma omp parallel num_threads(threads)
    {
        Block *blocks = aligned_alloc(_Alignof(Block), group * sizeof(Block));
        value *tiles = aligned_alloc(BYTES, 2 * TILE * LANES * sizeof(value));
        float *kept = keeps ? aligned_alloc(BYTES, kept_bytes) : 0;
        int ready = blocks && tiles && (kept || !keeps);
        if (!ready) failed = 1;
        else memset(tiles, 0, 2 * TILE * LANES * sizeof(value));
        Buffers buffers = {tiles, tiles + TILE * LANES, kept};
#pragma omp for schedule(static)
        for (int64_t first = 0; first < l->blocks; first += group) {
            int64_t count = least(group, l->blocks - first);
            if (ready && backward) backward_blocks(call, blocks, first, count, buffers);
            else if (ready) forward_blocks(call, blocks, first, count, buffers);
        }
        free(blocks), free(tiles), free(kept);
    }
    return failed;
}

/* `level` is log prior - log(var) / 2 of the gate. */
int mixture_forward(value *x, value *y, float *table, const float *level,
                    const float *gate_mean, const float *gate_var, const float *mean,
                    const float *var, const float *scale, const float *weight, const float *bias,
                    int64_t samples, int64_t channels, int64_t positions, int channels_last,
                    int passes, int from_batch, double eps, double pseudo_count, int threads) {
    size_t bytes = K * channels * sizeof(float);
    if (passes != SECOND) {
        memcpy(table + LEVEL * K * channels, level, bytes);
        memcpy(table + GATE_MEAN * K * channels, gate_mean, bytes);
        memcpy(table + GATE_VAR * K * channels, gate_var, bytes);
    }
    Call call = {.layout = layout_of(samples, channels, positions, channels_last),
                 .x = x, .y = y, .table = table, .mean = mean, .var = var, .scale = scale,
                 .weight = weight, .bias = bias, .passes = passes, .from_batch = from_batch,
                 .eps = eps, .pseudo_count = pseudo_count};
    return run(&call, threads, 0);
}

/* A training step of a running mixture: the forward pass by its moments, which then move towards
   those of the batch, unless `momentum` is negative. */
int mixture_step(value *x, value *y, float *table, float *prior, float *mean, float *var,
                 const float *weight, const float *bias, int64_t samples, int64_t channels,
                 int64_t positions, int channels_last, double eps, double pseudo_count,
                 double momentum, int threads) {
    const int64_t size = K * channels;
    for (int64_t i = 0; i < size; i++) {
        double share = prior[i] < SMALLEST_PRIOR ? SMALLEST_PRIOR : prior[i];
        float of_gate = var[i] + eps;
        table[LEVEL * size + i] = 0.5 * log(share * share / of_gate);
        table[GATE_MEAN * size + i] = mean[i];
        table[GATE_VAR * size + i] = of_gate;
    }
    Call call = {.layout = layout_of(samples, channels, positions, channels_last),
                 .x = x, .y = y, .table = table, .mean = mean, .var = var, .weight = weight,
                 .bias = bias, .passes = ALL, .from_batch = 1, .eps = eps,
                 .pseudo_count = pseudo_count};
    if (run(&call, threads, 0)) return 1;
    if (momentum >= 0)
        follow(prior, mean, var, table + SHARE * size, table + MEAN * size, table + VAR * size, K,
               channels, channels, channels, (double)samples * positions, momentum);
    return 0;
}

int mixture_backward(value *x, value *gradient, float *table, value *dx, float *gradients,
                     float *d_weight, float *d_bias, const float *scale, const float *weight,
                     int gate_too, int64_t samples, int64_t channels, int64_t positions,
                     int channels_last, int passes, int from_batch, double eps,
                     double pseudo_count, int threads) {
    Call call = {.layout = layout_of(samples, channels, positions, channels_last),
                 .x = x, .gradient = gradient, .dx = dx, .table = table, .gradients = gradients,
                 .d_weight = d_weight, .d_bias = d_bias, .scale = scale, .weight = weight,
                 .gate_too = gate_too, .passes = passes, .from_batch = from_batch, .eps = eps,
                 .pseudo_count = pseudo_count};
    return run(&call, threads, 1);
}
