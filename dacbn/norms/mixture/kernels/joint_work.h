/* What passes over a tile read and write: tables, units, sums over units.

   Tables are (K, wide), with zeros after the last channel. Responsibilities and all else that
   belongs to units is (K, room), or (K, height) of a tile. A table's entry is one number for a line
   of units, or a vector on a line of channels; what belongs to units is the other way round. */

#pragma once

#include "joint_layout.h"

#ifndef COMPONENTS
#define COMPONENTS 3
#endif
enum { K = COMPONENTS };
#define EACH_COMPONENT _Pragma("GCC unroll 16") for (int k = 0; k < K; k++)

/* Constants of all components and channels; `precision` is 1 / variance of the gate. */
typedef struct {
    double *precision;
    float *pivot, *shift, *slope, *level, *by_mean, *by_var, *inverse_var;
    float *bias, *weight, *mean, *least; /* of a channel */
} Tables;

/* What a thread adds up: over units, for each channel; and its buffers of one tile. */
typedef struct {
    double *sums[2], *mass, *joint; /* (K, wide), (K), (K, height) */
    float *lines[2];                /* float sums of a tile of lines of channels */
    float *x, *g, *out, *h;         /* packed tiles; (K, height) */
} Work;

/* Read K values, each of a vector, or each the same in all lanes. */
INLINE void take(vec *to, const float *from, int64_t stride, int64_t at, int vectors) {
    EACH_COMPONENT {
        if (vectors) to[k] = load(from + k * stride + at);
        else to[k] = (vec){0} + from[k * stride + at];
    }
}

/* Some lines at once, so that what is read from tables serves all of them: lines of units; one of
   a channel has its table's entries in registers anyway. */
enum { GROUP = 4 };
#define IN_GROUPS(body)                                                      \
    do {                                                                     \
        int64_t i = 0;                                                       \
        for (; by_unit && i + GROUP <= x.lines; i += GROUP) body(i, GROUP);  \
        for (; i < x.lines; i++) body(i, 1);                                 \
    } while (0)

/* In a loop over vectors j of lines i, i + 1, ...: read a table, or what belongs to units. */
#define TABLE(to, from) take(to, from, l->wide, by_unit ? j * LANES : i, by_unit)
#define UNITS(to, from, stride) take(to, from, stride, by_unit ? i + n : j * LANES, !by_unit)
#define EACH_VECTOR for (j = 0; j < x.vectors; j++)
#define EACH_OF_GROUP _Pragma("GCC unroll 4") for (int n = 0; n < lines; n++)
#define VALUES(tile) load(tile.start + (i + n) * tile.stride + j * LANES)

INLINE float sum_of(vec v) {
    float sum = 0;
    typedef float quad __attribute__((vector_size(16)));
    quad quads[BYTES / 16];
    memcpy(quads, &v, sizeof v);
    for (int i = 1; i < BYTES / 16; i++) quads[0] += quads[i];
    for (int i = 0; i < 4; i++) sum += quads[0][i];
    return sum;
}

INLINE double sum_of_wide(wide v) {
    double sum = 0;
    typedef double quad __attribute__((vector_size(32)));
    quad quads[BYTES / 16];
    memcpy(quads, &v, sizeof v);
    for (int i = 1; i < BYTES / 16; i++) quads[0] += quads[i];
    for (int i = 0; i < 4; i++) sum += quads[0][i];
    return sum;
}

INLINE wide load_wide(const double *from) {
    wide v;
    memcpy(&v, from, sizeof v);
    return v;
}

INLINE void store_wide(double *to, wide v) { memcpy(to, &v, sizeof v); }

INLINE wide widened(vec v) { return __builtin_convertvector(v, wide); }

/* Add two sums of vectors to those over units of each channel: of one line of units, or to those
   of a vector of channels, in float until the tile ends. */
INLINE void add_sums(const Layout *l, Work *w, int64_t at, const vec *a, const vec *b,
                     int by_unit) {
    EACH_COMPONENT {
        int64_t entry = k * l->wide + at;
        if (by_unit) {
            store(w->lines[0] + entry, load(w->lines[0] + entry) + a[k]);
            store(w->lines[1] + entry, load(w->lines[1] + entry) + b[k]);
        } else {
            w->sums[0][entry] += sum_of(a[k]);
            w->sums[1][entry] += sum_of(b[k]);
        }
    }
}

static void end_tile(const Layout *l, Work *w, int by_unit) {
    for (int s = 0; by_unit && s < 2; s++) {
        for (int64_t at = 0; at < K * l->wide; at += LANES) {
            store_wide(w->sums[s] + at,
                       load_wide(w->sums[s] + at) + widened(load(w->lines[s] + at)));
            store(w->lines[s] + at, (vec){0});
        }
    }
}

INLINE void no_sums(vec *a, vec *b) { EACH_COMPONENT a[k] = b[k] = (vec){0}; }
