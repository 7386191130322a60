/* Normalise by a Gaussian mixture per channel, forward and backward, in float32.

   `chunked_mixture.py` states the same mathematics in torch. Here every value is read where it
   lies, its responsibilities stay in registers or in the cache, and none reaches memory: a call
   moves the bytes that BatchNorm moves.

   A block of work is a sequence of vectors. Where the positions of a channel lie side by side it
   is one channel. Where they do not, as in (N, C) and channels_last, or where several channels'
   fit in a vector, it is as many neighbouring channels as do, one row after another. All else is
   the same for both, because constants are vectors too. Blocks are worked on tile by tile: sums
   are in float32 within a tile, which is small enough for that, and in double beyond.

   COMPONENTS, the number K of components, is a constant, so that the compiler unrolls over it.
   Tables are (rows, K, C). NaN and infinity pass through: compile without -ffast-math. */

#ifdef __SSE__
#include <immintrin.h>
#endif
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifndef COMPONENTS
#define COMPONENTS 3
#endif
enum { K = COMPONENTS };

#if defined(__AVX512F__)
#define BYTES 64
#elif defined(__AVX__)
#define BYTES 32
#else
#define BYTES 16
#endif
enum { LANES = BYTES / 4, TILE = 128 };

typedef float vec __attribute__((vector_size(BYTES)));
typedef int32_t ints __attribute__((vector_size(BYTES)));
typedef double wide __attribute__((vector_size(2 * BYTES)));

#define INLINE static inline __attribute__((always_inline))
#define EACH_COMPONENT _Pragma("GCC unroll 16") for (int k = 0; k < K; k++)
#define EACH_LANE for (int lane = 0; lane < LANES; lane++)

/* Responsibilities are kept between two passes over a block if they take no more than this. */
static const int64_t KEPT_BYTES = 3 << 19;
/* A tile whose rows are this long is worked on in place. */
static const int64_t LONG_ROW = 32 * LANES;

/* The rows of the table that forward fills, and backward reads. */
enum { LEVEL, GATE_MEAN, GATE_VAR, SHARE, MEAN, VAR, OFFSET, DRAG };
/* The rows of the table of gradients. */
enum { D_LOG_PRIOR, D_GATE_MEAN, D_GATE_VAR, D_MEAN, D_VAR, D_SCALE };

typedef struct {
    int64_t samples, channels, positions;
    int64_t rows, row_stride, columns; /* as a matrix, where a block is several columns */
    int64_t per_channel;               /* lanes that share a channel */
    int64_t blocks, tiles, vectors;    /* of all; of a block; of a block */
    int by_columns, in_place;
} Layout;

typedef struct { int64_t stride, count; float *start; } Tile;

typedef struct { vec mean[K], inverse[K], level[K]; } Gate;

/* What a block accumulates, and the vectors of constants it works with. */
typedef struct {
    wide sums[3][K];
    Gate gate;
    int64_t width, channel[LANES]; /* in use, and of each lane */
    int in_order;                  /* each lane has a channel, one after another */
    vec shift[K], slope[K], level[K], by_mean[K], by_var[K], drop[K], inverse_var[K], bias;
} Block;

static Layout layout_of(int64_t samples, int64_t channels, int64_t positions, int channels_last) {
    Layout l = {.samples = samples, .channels = channels, .positions = positions};
    int short_rows = positions < LANES && LANES % positions == 0;
    l.by_columns = channels_last || short_rows;
    if (l.by_columns) {
        l.per_channel = channels_last ? 1 : positions;
        l.rows = channels_last ? samples * positions : samples;
        l.columns = l.row_stride = channels * l.per_channel;
        l.blocks = (l.columns + LANES - 1) / LANES;
        l.vectors = l.rows;
        l.tiles = (l.rows + TILE - 1) / TILE;
        return l;
    }
    l.per_channel = LANES;
    l.blocks = channels;
    l.in_place = positions % LANES == 0 && positions >= LONG_ROW;
    l.vectors = (samples * positions + LANES - 1) / LANES;
    int64_t per_row = (positions / LANES + TILE - 1) / TILE;
    l.tiles = l.in_place ? samples * per_row : (l.vectors + TILE - 1) / TILE;
    return l;
}

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* The lanes in use: all but in the last block of columns. */
static int64_t width_of(const Layout *l, int64_t block) {
    return l->by_columns ? least(LANES, l->columns - block * LANES) : LANES;
}

/* The channel of a lane; lanes that are not in use repeat the last. */
static int64_t channel_of(const Layout *l, int64_t block, int64_t lane) {
    if (!l->by_columns) return block;
    return least(block * LANES + lane, l->columns - 1) / l->per_channel;
}

/* Copy values between a packed buffer and the run of a channel that starts at value `first`. */
static void copy_run(const Layout *l, float *base, float *packed, int64_t first, int64_t count,
                     int unpack) {
    int64_t sample = first / l->positions, position = first % l->positions;
    while (count > 0) {
        int64_t run = least(l->positions - position, count);
        float *there = base + sample * l->channels * l->positions + position;
        for (int64_t i = 0; i < run; i++) {
            if (unpack) there[i] = packed[i];
            else packed[i] = there[i];
        }
        packed += run, count -= run, position = 0, sample++;
    }
}

/* Find tile `t` of a block: in place where vectors are whole, else the buffer that stands for it.
   `copy` says whether to fill the buffer (1), write it back (-1) or neither (0). */
static Tile tile_of(const Layout *l, float *base, int64_t block, int64_t t, float *buffer,
                    int copy) {
    Tile tile = {.stride = LANES, .start = buffer};
    if (l->by_columns) {
        int64_t width = width_of(l, block);
        float *start = base + t * TILE * l->row_stride + block * LANES;
        tile.count = least(TILE, l->rows - t * TILE);
        if (width == LANES) return (Tile){l->row_stride, tile.count, start};
        for (int64_t row = 0; copy && row < tile.count; row++) {
            float *there = start + row * l->row_stride, *here = buffer + row * LANES;
            memcpy(copy > 0 ? here : there, copy > 0 ? there : here, width * sizeof(float));
        }
        return tile;
    }
    base += block * l->positions;
    if (l->in_place) {
        int64_t per_row = (l->positions / LANES + TILE - 1) / TILE;
        int64_t first = t % per_row * TILE;
        tile.count = least(TILE, l->positions / LANES - first);
        tile.start = base + t / per_row * l->channels * l->positions + first * LANES;
        return tile;
    }
    int64_t first = t * TILE * LANES, values = l->samples * l->positions - first;
    tile.count = least(TILE, (values + LANES - 1) / LANES);
    if (copy > 0) memset(buffer + (tile.count - 1) * LANES, 0, BYTES);
    if (copy) copy_run(l, base, buffer, first, least(values, tile.count * LANES), copy < 0);
    return tile;
}

/* Which lanes of a tile's last vector hold values. */
static vec edge_of(const Layout *l, int64_t t) {
    int64_t left = l->by_columns || t + 1 < l->tiles ? 0 : l->samples * l->positions % LANES;
    vec edge;
    EACH_LANE edge[lane] = left == 0 || lane < left;
    return edge;
}

INLINE vec load(const float *from) {
    vec v;
    memcpy(&v, from, sizeof v);
    return v;
}

INLINE void store(float *to, vec v) { memcpy(to, &v, sizeof v); }

/* The larger of two, and b where either is NaN. */
INLINE vec larger(vec a, vec b) {
#if defined(__AVX512F__)
    return _mm512_max_ps(a, b);
#elif defined(__AVX__)
    return _mm256_max_ps(a, b);
#elif defined(__SSE__)
    return _mm_max_ps(a, b);
#else
    ints first = a > b;
    return (vec)((first & (ints)a) | (~first & (ints)b));
#endif
}

/* Whether any lane lies below a bound. */
INLINE int any_below(vec v, float bound) {
#if defined(__AVX512F__)
    return _mm512_cmp_ps_mask(v, _mm512_set1_ps(bound), _CMP_LT_OQ);
#elif defined(__AVX__)
    return _mm256_movemask_ps((vec)(v < bound));
#elif defined(__SSE__)
    return _mm_movemask_ps((vec)(v < bound));
#else
    int found = 0;
    EACH_LANE found |= v[lane] < bound;
    return found;
#endif
}

/* 2^t for t <= 127, to 3e-7; tiny powers may be 2^-126. No density in float32 exceeds 2^63. */
INLINE vec power_of_two(vec t) {
#ifdef __AVX512DQ__
    vec f = _mm512_reduce_ps(t, 0);
#else
    /* Adding 1.5 * 2^23 + 127 rounds t, and leaves in the low bits the exponent of its power. */
    const float round = 12583039.0f;
    t = larger((vec){0} - 126.0f, t);
    vec whole = t + round, f = t - (whole - round);
#endif
    vec p = 1.32647273e-3f * f + 9.67151299e-3f;
    p = p * f + 5.55073358e-2f;
    p = p * f + 2.40222424e-1f;
    p = p * f + 6.93147004e-1f;
    p = p * f + 1.0f;
#ifdef __AVX512DQ__
    return _mm512_scalef_ps(p, t - f);
#else
    ints scale;
    memcpy(&scale, &whole, sizeof scale);
    scale <<= 23;
    vec power;
    memcpy(&power, &scale, sizeof power);
    return p * power;
#endif
}

/* The distances of values to the components, and their responsibilities, times `live`. */
INLINE void assign(const Gate *gate, vec x, vec live, vec *d, vec *r) {
    EACH_COMPONENT d[k] = x - gate->mean[k];
    if (K == 1) {
        r[0] = live;
        return;
    }
    vec total, top;
    EACH_COMPONENT {
        vec z = d[k] * gate->inverse[k];
        r[k] = power_of_two(gate->level[k] - z * z);
        total = k == 0 ? r[k] : total + r[k];
    }
    if (__builtin_expect(any_below(total, 0x1p-100f), 0)) { /* far out, where all powers vanish */
        EACH_COMPONENT {
            vec z = d[k] * gate->inverse[k];
            r[k] = gate->level[k] - z * z;
            top = k == 0 ? r[k] : larger(top, r[k]);
        }
        EACH_COMPONENT {
            r[k] = power_of_two(r[k] - top);
            total = k == 0 ? r[k] : total + r[k];
        }
    }
    vec share = live / total;
    EACH_COMPONENT r[k] *= share;
}

/* The same for vector `v` of a tile, from what an earlier pass kept, if it did. */
INLINE void assign_again(const Gate *gate, vec x, vec live, const float *kept, vec *d, vec *r) {
    if (!kept) {
        assign(gate, x, live, d, r);
        return;
    }
    EACH_COMPONENT d[k] = x - gate->mean[k], r[k] = load(kept + k * LANES);
}

INLINE void keep(float *kept, const vec *r) {
    if (kept) EACH_COMPONENT store(kept + k * LANES, r[k]);
}

INLINE void add_sums(Block *b, vec sums[3][K]) {
    for (int s = 0; s < 3; s++)
        EACH_COMPONENT b->sums[s][k] += __builtin_convertvector(sums[s][k], wide);
}

#define EACH_VECTOR for (int64_t v = 0; v < x.count; v++)
#define LIVE (v + 1 < x.count ? ones : edge)

/* Sum r, r (d - shift) and r (d - shift)^2. */
static void sum_moments(Block *b, Tile x, vec edge, float *kept) {
    vec sums[3][K] = {0}, ones = edge * 0 + 1.0f, d[K], r[K];
    EACH_VECTOR {
        assign(&b->gate, load(x.start + v * x.stride), LIVE, d, r);
        keep(kept ? kept + v * K * LANES : 0, r);
        EACH_COMPONENT {
            vec u = d[k] - b->shift[k], ru = r[k] * u;
            sums[0][k] += r[k];
            sums[1][k] += ru;
            sums[2][k] += ru * u;
        }
    }
    add_sums(b, sums);
}

/* Write sum_k r_k (slope_k d_k + level_k) + bias. */
static void mix(const Block *b, Tile x, Tile y, vec edge, const float *kept) {
    vec ones = edge * 0 + 1.0f, d[K], r[K];
    EACH_VECTOR {
        vec from = load(x.start + v * x.stride), sum = b->bias;
        assign_again(&b->gate, from, LIVE, kept ? kept + v * K * LANES : 0, d, r);
        EACH_COMPONENT sum += r[k] * (b->slope[k] * d[k] + b->level[k]);
        store(y.start + v * y.stride, sum);
    }
}

/* Sum g r and g r (d - shift), for gradients g of the output. */
static void sum_gradients(Block *b, Tile x, Tile g, vec edge, float *kept) {
    vec sums[3][K] = {0}, ones = edge * 0 + 1.0f, d[K], r[K];
    EACH_VECTOR {
        vec gradient = load(g.start + v * g.stride);
        assign(&b->gate, load(x.start + v * x.stride), LIVE, d, r);
        keep(kept ? kept + v * K * LANES : 0, r);
        EACH_COMPONENT {
            vec gr = gradient * r[k];
            sums[0][k] += gr;
            sums[1][k] += gr * (d[k] - b->shift[k]);
        }
    }
    add_sums(b, sums);
}

/* Write the gradients of x, and sum those of the gate's logits: e, e d and e d^2. */
INLINE void mix_gradients(Block *b, Tile x, Tile g, Tile dx, vec edge, const float *kept,
                          int gate_too) {
    vec sums[3][K] = {0}, ones = edge * 0 + 1.0f, d[K], r[K], h[K];
    EACH_VECTOR {
        vec from = load(x.start + v * x.stride), gradient = load(g.start + v * g.stride);
        vec to_x = ones * 0, mean_h = to_x;
        assign_again(&b->gate, from, LIVE, kept ? kept + v * K * LANES : 0, d, r);
        EACH_COMPONENT {
            vec u = d[k] - b->shift[k];
            vec p = gradient * b->slope[k] + b->by_mean[k] + b->by_var[k] * u;
            h[k] = p * u - b->drop[k];
            mean_h += r[k] * h[k];
            to_x += r[k] * (p + b->by_var[k] * u);
        }
        EACH_COMPONENT {
            vec e = r[k] * (h[k] - mean_h), ed = e * d[k];
            to_x -= ed * b->inverse_var[k];
            if (!gate_too) continue;
            sums[0][k] += e;
            sums[1][k] += ed;
            sums[2][k] += ed * d[k];
        }
        store(dx.start + v * dx.stride, to_x);
    }
    if (gate_too) add_sums(b, sums);
}

/* Everything a call works on. Tensors are laid out alike; tables are (rows, K, C). */
typedef struct {
    Layout layout;
    float *x, *y, *gradient, *dx;
    float *table, *gradients, *d_weight, *d_bias;
    const float *mean, *var, *scale, *weight, *bias;
    double eps, pseudo_count;
    int from_batch;
} Call;

/* Room for one thread: packed tiles, and responsibilities. */
typedef struct { float *x, *g, *kept; } Room;

enum { MOMENTS, MIX, GRADIENTS, MIX_GRADIENTS };

/* Pass over blocks first ... first + count - 1, tile by tile. */
static void sweep(const Call *call, int pass, Block *blocks, int64_t first, int64_t count,
                  Room room) {
    const Layout *l = &call->layout;
    int backward = pass == GRADIENTS || pass == MIX_GRADIENTS;
    float *to = backward ? call->dx : call->y;
    for (int64_t t = 0; t < l->tiles; t++) {
        vec edge = edge_of(l, t);
        Tile x, g;
        for (int64_t i = 0; i < count; i++) {
            int64_t block = first + i;
            Block *b = blocks + i;
            x = tile_of(l, call->x, block, t, room.x, 1), g = x;
            if (backward) g = tile_of(l, call->gradient, block, t, room.g, 1);
            if (pass == MOMENTS) sum_moments(b, x, edge, room.kept);
            if (pass == GRADIENTS) sum_gradients(b, x, g, edge, room.kept);
            if (pass == MOMENTS || pass == GRADIENTS) continue;
            Tile out = tile_of(l, to, block, t, room.x, 0);
            if (pass == MIX) mix(b, x, out, edge, room.kept);
            else if (call->gradients) mix_gradients(b, x, g, out, edge, room.kept, 1);
            else mix_gradients(b, x, g, out, edge, room.kept, 0);
            tile_of(l, to, block, t, room.x, -1);
        }
        if (room.kept) room.kept += x.count * K * LANES;
    }
}

/* Between passes, a block's lanes compute side by side in double, each for its channel. */

INLINE vec narrow(wide v) { return __builtin_convertvector(v, vec); }

INLINE wide root(wide v) {
    double lanes[LANES]; /* compilers do a loop over an array at once, one over lanes not */
    memcpy(lanes, &v, sizeof v);
    EACH_LANE lanes[lane] = sqrt(lanes[lane]);
    memcpy(&v, lanes, sizeof v);
    return v;
}

/* What a table says of component k in the channel of every lane; 0 without a table. */
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

/* A sum over the lanes of each channel, for all of them to have. */
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

/* Turn sums into moments; whether any mean lies too far from its shift for an exact variance. */
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
        for (int lane = 0; lane < b->width; lane++) {
            far |= mass[lane] * away[lane] * away[lane] > 4 * squares[lane];
            squares[lane] = squares[lane] < 0 ? 0 : squares[lane];
        }
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

static void forward_blocks(const Call *call, Block *blocks, int64_t first, int64_t count,
                           Room room) {
    for (int64_t i = 0; i < count; i++) open_block(call, blocks + i, first + i);
    /* A second time only where the first shift was poor. */
    for (int again = call->from_batch, times = 0; again && times < 2; times++) {
        sweep(call, MOMENTS, blocks, first, count, room);
        again = 0;
        for (int64_t i = 0; i < count; i++) again |= find_moments(call, blocks + i);
    }
    if (!call->from_batch) {
        room.kept = 0;
        for (int64_t i = 0; i < count; i++) take_moments(call, blocks + i);
    }
    for (int64_t i = 0; i < count; i++) prepare_mix(call, blocks + i);
    sweep(call, MIX, blocks, first, count, room);
}

/* Turn the sums of gradients into those of moments, scale and affine, and into dx's constants. */
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

static void find_gate_gradients(const Call *call, Block *b) {
    for (int k = 0; k < K; k++) {
        wide var = read(call, b, call->table, GATE_VAR, k), e = total(call, b, 0, k);
        write(call, b, call->gradients, D_LOG_PRIOR, k, e);
        write(call, b, call->gradients, D_GATE_MEAN, k, total(call, b, 1, k) / var);
        wide d_var = 0.5 * (total(call, b, 2, k) / var - e) / var;
        write(call, b, call->gradients, D_GATE_VAR, k, d_var);
    }
}

static void backward_blocks(const Call *call, Block *blocks, int64_t first, int64_t count,
                            Room room) {
    for (int64_t i = 0; i < count; i++) {
        open_block(call, blocks + i, first + i);
        for (int k = 0; k < K; k++)
            blocks[i].shift[k] = narrow(read(call, blocks + i, call->table, OFFSET, k));
    }
    sweep(call, GRADIENTS, blocks, first, count, room);
    for (int64_t i = 0; i < count; i++) pass_through_moments(call, blocks + i);
    sweep(call, MIX_GRADIENTS, blocks, first, count, room);
    for (int64_t i = 0; call->gradients && i < count; i++) find_gate_gradients(call, blocks + i);
}

/* Share the blocks out over threads; nonzero where memory is short. */
static int run(const Call *call, int threads, int backward) {
    const Layout *l = &call->layout;
    int64_t kept_bytes = l->vectors * K * BYTES;
    int keeps = K > 1 && kept_bytes <= KEPT_BYTES, failed = 0;
    /* Columns that do not stay in the cache are read from memory in whole rows, all blocks of a
       thread side by side. */
    int64_t group = !l->by_columns || keeps ? 1 : (l->blocks + threads - 1) / threads;
#pragma omp parallel num_threads(threads)
    {
        Block *blocks = aligned_alloc(_Alignof(Block), group * sizeof(Block));
        float *tiles = aligned_alloc(BYTES, 2 * TILE * BYTES);
        float *kept = keeps ? aligned_alloc(BYTES, kept_bytes) : 0;
        int ready = blocks && tiles && (kept || !keeps);
        if (!ready) failed = 1;
        else memset(tiles, 0, 2 * TILE * BYTES);
        Room room = {tiles, tiles + TILE * LANES, kept};
#pragma omp for schedule(static)
        for (int64_t first = 0; first < l->blocks; first += group) {
            int64_t count = least(group, l->blocks - first);
            if (ready && backward) backward_blocks(call, blocks, first, count, room);
            else if (ready) forward_blocks(call, blocks, first, count, room);
        }
        free(blocks), free(tiles), free(kept);
    }
    return failed;
}

/* `level` is log prior - log var / 2, of the gate. */
int mixture_forward(float *x, float *y, float *table, const float *level,
                    const float *gate_mean, const float *gate_var, const float *mean,
                    const float *var, const float *scale, const float *weight, const float *bias,
                    int64_t samples, int64_t channels, int64_t positions, int channels_last,
                    int from_batch, double eps, double pseudo_count, int threads) {
    size_t bytes = K * channels * sizeof(float);
    memcpy(table + LEVEL * K * channels, level, bytes);
    memcpy(table + GATE_MEAN * K * channels, gate_mean, bytes);
    memcpy(table + GATE_VAR * K * channels, gate_var, bytes);
    Call call = {.layout = layout_of(samples, channels, positions, channels_last),
                 .x = x, .y = y, .table = table, .mean = mean, .var = var, .scale = scale,
                 .weight = weight, .bias = bias, .from_batch = from_batch, .eps = eps,
                 .pseudo_count = pseudo_count};
    return run(&call, threads, 0);
}

int mixture_backward(float *x, float *gradient, float *dx, float *table, float *gradients,
                     float *d_weight, float *d_bias, const float *scale, const float *weight,
                     int64_t samples, int64_t channels, int64_t positions, int channels_last,
                     int from_batch, double eps, double pseudo_count, int threads) {
    Call call = {.layout = layout_of(samples, channels, positions, channels_last),
                 .x = x, .gradient = gradient, .dx = dx, .table = table, .gradients = gradients,
                 .d_weight = d_weight, .d_bias = d_bias, .scale = scale, .weight = weight,
                 .from_batch = from_batch, .eps = eps,
                 .pseudo_count = pseudo_count};
    return run(&call, threads, 1);
}
