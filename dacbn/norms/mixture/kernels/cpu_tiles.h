/* Passes over a tile: responsibilities, sums, outputs. */

#pragma once

#include "cpu_layout.h"

#ifndef COMPONENTS
#define COMPONENTS 3
#endif
enum { K = COMPONENTS };
#define EACH_COMPONENT _Pragma("GCC unroll 16") for (int k = 0; k < K; k++)

typedef struct { vec mean[K], inverse[K], level[K]; } Gate;

/* The sums that a block accumulates, and its vectors of constants. */
typedef struct {
    wide sums[3][K];
    Gate gate;
    int64_t width, channel[LANES]; /* lanes in use; channel of each lane */
    int in_order;                  /* lanes hold consecutive channels, one each */
    vec shift[K], slope[K], level[K], by_mean[K], by_var[K], drop[K], inverse_var[K], bias;
} Block;

/* Compute distances to the component means, and responsibilities times the mask `live`. */
INLINE void assign(const Gate *gate, vec x, vec live, vec *d, vec *r) {
    EACH_COMPONENT d[k] = x - gate->mean[k];
    if (K == 1) {
        r[0] = live;
        return;
    }
    /* Powers relative to that of the first component, which needs none; relative to the largest one
       where they could overflow. */
    vec q[K], t[K], top, total;
    EACH_COMPONENT {
        vec z = d[k] * gate->inverse[k];
        q[k] = z * z - gate->level[k];
        t[k] = q[0] - q[k];
        top = k < 2 ? t[k] : larger(top, t[k]);
    }
    if (__builtin_expect(any_above(top, 100), 0)) {
        EACH_COMPONENT top = k == 0 ? -q[0] : larger(top, -q[k]); /* t is rounded like q[0] */
        EACH_COMPONENT {
            r[k] = power_of_two(-q[k] - top);
            total = k == 0 ? r[k] : total + r[k];
        }
        vec share = live / total;
        EACH_COMPONENT r[k] *= share;
        return;
    }
    EACH_COMPONENT if (k > 0) {
        r[k] = power_of_two(t[k]);
        total = k == 1 ? r[k] + 1.0f : total + r[k];
    }
    r[0] = live / total;
    EACH_COMPONENT if (k > 0) r[k] *= r[0];
}

/* The same, with the responsibilities that an earlier pass kept, if it kept any. */
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
        assign(&b->gate, load_values(x.start + v * x.stride), LIVE, d, r);
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
        vec from = load_values(x.start + v * x.stride), sum = b->bias;
        assign_again(&b->gate, from, LIVE, kept ? kept + v * K * LANES : 0, d, r);
        EACH_COMPONENT sum += r[k] * (b->slope[k] * d[k] + b->level[k]);
        store_values(y.start + v * y.stride, sum);
    }
}

/* Sum g r and g r (d - shift), for gradients g of the output. */
static void sum_gradients(Block *b, Tile x, Tile g, vec edge, float *kept) {
    vec sums[3][K] = {0}, ones = edge * 0 + 1.0f, d[K], r[K];
    EACH_VECTOR {
        vec gradient = load_values(g.start + v * g.stride);
        assign(&b->gate, load_values(x.start + v * x.stride), LIVE, d, r);
        keep(kept ? kept + v * K * LANES : 0, r);
        EACH_COMPONENT {
            vec gr = gradient * r[k];
            sums[0][k] += gr;
            sums[1][k] += gr * (d[k] - b->shift[k]);
        }
    }
    add_sums(b, sums);
}

/* Write the gradients of x, and sum the gradients e of the gate's logits: e, e d and e d^2. */
INLINE void mix_gradients(Block *b, Tile x, Tile g, Tile dx, vec edge, const float *kept,
                          int gate_too) {
    vec sums[3][K] = {0}, ones = edge * 0 + 1.0f, d[K], r[K], h[K], direct[K];
    EACH_VECTOR {
        vec from = load_values(x.start + v * x.stride);
        vec gradient = load_values(g.start + v * g.stride);
        vec to_x = ones * 0, mean_h = to_x;
        assign_again(&b->gate, from, LIVE, kept ? kept + v * K * LANES : 0, d, r);
        EACH_COMPONENT {
            vec u = d[k] - b->shift[k];
            vec p = gradient * b->slope[k] + b->by_mean[k] + b->by_var[k] * u;
            h[k] = p * u - b->drop[k];
            mean_h += r[k] * h[k];
            direct[k] = p + b->by_var[k] * u;
        }
        EACH_COMPONENT {
            vec away = h[k] - mean_h;
            to_x += r[k] * (direct[k] - away * (d[k] * b->inverse_var[k]));
            if (!gate_too) continue;
            vec e = r[k] * away, ed = e * d[k];
            sums[0][k] += e;
            sums[1][k] += ed;
            sums[2][k] += ed * d[k];
        }
        store_values(dx.start + v * dx.stride, to_x);
    }
    if (gate_too) add_sums(b, sums);
}
