/* Passes over activations for what is a line in each channel of each sample, in float32: moments,
   lines, and the sums of their gradients. `by_sample.py` is the same computation in torch.

   The unit of work is what one thread reads from its beginning to its end: a channel of a sample if
   its positions are contiguous, and a whole sample in channels_last. It is split into tiles, which
   stay in the cache, and a tile into columns of vectors: one, whose lanes are positions of one
   channel, or one for as many neighbouring channels as fit in a vector. Sums within a tile are in
   float32, sums over tiles in double. Tables are (samples, channels). */

#include <stdlib.h>

#include "cpu_values.h"

enum { TILE = 2048, MOST = 128 }; /* vectors of a tile, and at most of one of its columns */

typedef struct {
    int64_t channels, units, values; /* channels of a sample; units; values of a unit */
    int64_t columns, vectors;        /* of a unit; of a column */
    int64_t stride, tile;            /* between vectors of a column; vectors in a column's tile */
    int64_t last;                    /* lanes in use of the last vector, if lanes are positions */
    int along;                       /* lanes are positions of one channel */
} Layout;

/* A part of a column: `count` vectors with `width` lanes, of which the last has `last`. */
typedef struct { int64_t start, count, stride, width, last; } Run;

/* What a column accumulates. */
typedef struct { wide count, first, second; } Sums;

typedef struct {
    Layout layout;
    const value *x, *g;
    value *out;
    const float *of_x, *of_g, *shift;
    float *first, *second;
} Call;

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

static Layout layout_of(int64_t samples, int64_t channels, int64_t positions, int channels_last) {
    Layout l = {.channels = channels, .along = !channels_last};
    l.units = channels_last ? samples : samples * channels;
    l.values = channels_last ? channels * positions : positions;
    l.columns = channels_last ? (channels + LANES - 1) / LANES : 1;
    l.vectors = channels_last ? positions : (positions + LANES - 1) / LANES;
    l.stride = channels_last ? channels : LANES;
    l.tile = least(MOST, TILE / l.columns > 8 ? TILE / l.columns : 8);
    l.last = positions - (l.vectors - 1) * LANES;
    return l;
}

static Run run_of(const Layout *l, int64_t unit, int64_t column, int64_t first) {
    Run r = {.start = unit * l->values + column * LANES + first * l->stride, .stride = l->stride};
    r.count = least(l->tile, l->vectors - first);
    r.width = r.last = l->along ? LANES : least(LANES, l->channels - column * LANES);
    if (l->along && first + r.count == l->vectors) r.last = l->last;
    return r;
}

INLINE vec at(const value *from, const Run *r, int64_t v) {
    int64_t width = v + 1 < r->count ? r->width : r->last;
    from += r->start + v * r->stride;
    return width == LANES ? load_values(from) : load_few(from, width);
}

/* Every lane gets the sum over all lanes, if they are of one channel. */
INLINE vec gather(const Layout *l, vec v) {
    if (!l->along) return v;
    float sum = 0;
    EACH_LANE sum += v[lane];
    return v * 0 + sum;
}

static vec lanes_below(int64_t width) {
    vec live;
    EACH_LANE live[lane] = lane < width;
    return live;
}

#define UNROLL 4
#define EACH_PART for (int part = 0; part < UNROLL; part++)
#define ADD_UP(parts) (parts[0] + parts[1] + (parts[2] + parts[3]))

/* Merge the mean and the squares around it of a tile with those of the tiles before. The second
   pass over a tile, from the cache, makes both exact for any mean. */
static void add_moments(const Call *call, Run r, Sums *sums) {
    const Layout *l = &call->layout;
    vec parts[UNROLL] = {0}, squares[UNROLL] = {0};
    int64_t v = 0, whole = r.width == LANES ? r.count - 1 : 0;
    for (; v + UNROLL <= whole; v += UNROLL) EACH_PART parts[part] += at(call->x, &r, v + part);
    for (; v < r.count; v++) parts[0] += at(call->x, &r, v);
    double values = l->along ? (r.count - 1) * LANES + r.last : r.count;
    vec mean = gather(l, ADD_UP(parts)) * (float)(1 / values);
    for (v = 0; v + UNROLL <= whole; v += UNROLL) EACH_PART {
        vec away = at(call->x, &r, v + part) - mean;
        squares[part] += away * away;
    }
    for (; v < r.count; v++) {
        vec away = at(call->x, &r, v) - mean;
        if (v + 1 == r.count && r.last < LANES) away *= lanes_below(r.last);
        squares[0] += away * away;
    }
    wide count = sums->count + values, more = __builtin_convertvector(mean, wide) - sums->first;
    wide second = __builtin_convertvector(gather(l, ADD_UP(squares)), wide);
    sums->second += second + more * more * (sums->count * (values / count));
    sums->first += more * (values / count);
    sums->count = count;
}

/* Add up the gradients g of the output, and g x. */
static void add_gradients(const Call *call, Run r, Sums *sums) {
    const Layout *l = &call->layout;
    vec parts[UNROLL] = {0}, products[UNROLL] = {0};
    int64_t v = 0, whole = r.width == LANES ? r.count - 1 : 0;
    for (; v + UNROLL <= whole; v += UNROLL) EACH_PART {
        vec g = at(call->g, &r, v + part);
        parts[part] += g;
        products[part] += g * at(call->x, &r, v + part);
    }
    for (; v < r.count; v++) {
        vec g = at(call->g, &r, v);
        parts[0] += g;
        products[0] += g * at(call->x, &r, v);
    }
    sums->first += __builtin_convertvector(gather(l, ADD_UP(parts)), wide);
    sums->second += __builtin_convertvector(gather(l, ADD_UP(products)), wide);
}

/* Read a table in the channels of a column. */
INLINE vec constants(const Layout *l, const float *table, int64_t unit, int64_t column) {
    vec v = {0};
    if (!table) return v;
    if (l->along) return v + table[unit];
    int64_t first = column * LANES, width = least(LANES, l->channels - first);
    memcpy(&v, table + unit * l->channels + first, width * sizeof(float));
    return v;
}

/* Write of_x x + of_g g + shift. */
INLINE void write_lines(const Call *call, Run r, int64_t unit, int64_t column, int with_g) {
    const Layout *l = &call->layout;
    vec of_x = constants(l, call->of_x, unit, column);
    vec shift = constants(l, call->shift, unit, column);
    vec of_g = with_g ? constants(l, call->of_g, unit, column) : shift;
    for (int64_t v = 0; v < r.count; v++) {
        vec sum = of_x * at(call->x, &r, v) + shift;
        if (with_g) sum += of_g * at(call->g, &r, v);
        int64_t width = v + 1 < r.count ? r.width : r.last;
        value *to = call->out + r.start + v * r.stride;
        if (width == LANES) store_values(to, sum);
        else store_few(to, sum, width);
    }
}

static void write_sums(const Layout *l, float *table, int64_t unit, int64_t column, wide sums) {
    int64_t first = l->along ? unit : unit * l->channels + column * LANES;
    int64_t width = l->along ? 1 : least(LANES, l->channels - column * LANES);
    vec narrowed = narrow(sums);
    memcpy(table + first, &narrowed, width * sizeof(float));
}

enum { MOMENTS, GRADIENTS, LINES };

static void pass_over(const Call *call, int pass, int64_t unit, Sums *sums) {
    const Layout *l = &call->layout;
    memset(sums, 0, l->columns * sizeof *sums);
    for (int64_t first = 0; first < l->vectors; first += l->tile)
        for (int64_t column = 0; column < l->columns; column++) {
            Run r = run_of(l, unit, column, first);
            if (pass == MOMENTS) add_moments(call, r, sums + column);
            else if (pass == GRADIENTS) add_gradients(call, r, sums + column);
            else if (call->g) write_lines(call, r, unit, column, 1);
            else write_lines(call, r, unit, column, 0);
        }
    for (int64_t column = 0; pass != LINES && column < l->columns; column++) {
        wide second = sums[column].second;
        if (pass == MOMENTS) second /= (double)(l->along ? l->values : l->vectors);
        write_sums(l, call->first, unit, column, sums[column].first);
        write_sums(l, call->second, unit, column, second);
    }
}

/* Split the units over threads; returns nonzero if memory runs out. */
static int run(const Call *call, int pass, int threads) {
    int failed = 0;
#pragma omp parallel num_threads(threads)
    {
        Sums *sums = aligned_alloc(_Alignof(Sums), call->layout.columns * sizeof(Sums));
        if (!sums) failed = 1;
#pragma omp for schedule(static)
        for (int64_t unit = 0; unit < call->layout.units; unit++)
            if (sums) pass_over(call, pass, unit, sums);
        free(sums);
    }
    return failed;
}

/* Mean and biased variance of each channel of each sample. */
int line_moments(const value *x, float *mean, float *var, int64_t samples, int64_t channels,
                 int64_t positions, int channels_last, int threads) {
    Call call = {.layout = layout_of(samples, channels, positions, channels_last), .x = x,
                 .first = mean, .second = var};
    return run(&call, MOMENTS, threads);
}

/* Sums of g and of g x. */
int line_gradients(const value *x, const value *g, float *sums, float *products, int64_t samples,
                   int64_t channels, int64_t positions, int channels_last, int threads) {
    Call call = {.layout = layout_of(samples, channels, positions, channels_last), .x = x, .g = g,
                 .first = sums, .second = products};
    return run(&call, GRADIENTS, threads);
}

/* of_x x + of_g g + shift; without g and its factor if they are null. */
int line_values(const value *x, const value *g, value *out, const float *of_x, const float *of_g,
                const float *shift, int64_t samples, int64_t channels, int64_t positions,
                int channels_last, int threads) {
    Call call = {.layout = layout_of(samples, channels, positions, channels_last), .x = x, .g = g,
                 .out = out, .of_x = of_x, .of_g = of_g, .shift = shift};
    return run(&call, LINES, threads);
}

/* These call the functions above. */
#include "cpu_stream_mixture.h"
#include "cpu_stream_unmix.h"
