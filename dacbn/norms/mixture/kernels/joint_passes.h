/* Passes over a tile of activations whose channels are assigned together. */

#pragma once

#include "joint_work.h"

/* Sum (x - pivot)^2 precision over channels, for each unit, or x precision of a linear gate. In
   double: what distinguishes two components may be little beside both sums. */
INLINE void measure_lines(const Layout *l, const Tables *tables, Work *w, Tile x, int linear,
                          int by_unit, int64_t i, int lines) {
    int64_t j = 0;
    vec pivot[K];
    wide precision[K], sums[GROUP][K];
    EACH_OF_GROUP EACH_COMPONENT sums[n][k] = (wide){0};
    if (!by_unit) {
        TABLE(pivot, tables->pivot);
        EACH_COMPONENT precision[k] = (wide){0} + tables->precision[k * l->wide + i];
    }
    EACH_VECTOR {
        if (by_unit) {
            TABLE(pivot, tables->pivot);
            EACH_COMPONENT precision[k] = load_wide(tables->precision + k * l->wide + j * LANES);
        }
        EACH_OF_GROUP {
            vec values = VALUES(x);
            EACH_COMPONENT {
                wide d = widened(linear ? values : values - pivot[k]);
                double *at = w->joint + k * l->height + j * LANES;
                d = linear ? d * precision[k] : d * d * precision[k];
                if (by_unit) sums[n][k] += d;
                else store_wide(at, load_wide(at) + d);
            }
        }
    }
    if (by_unit)
        EACH_OF_GROUP EACH_COMPONENT w->joint[k * l->height + i + n] = sum_of_wide(sums[n][k]);
}

INLINE void measure(const Layout *l, const Tables *tables, Work *w, Tile x, int linear,
                    int by_unit) {
    if (!by_unit) memset(w->joint, 0, K * l->height * sizeof(double));
#define MEASURE_LINES(i, lines) measure_lines(l, tables, w, x, linear, by_unit, i, lines)
    IN_GROUPS(MEASURE_LINES);
}

/* Turn `joint` into responsibilities, 0 after the last unit; add up their mass. */
static void assign(const Layout *l, const double *level, Work *w, Tile x, float *r) {
    vec mass[K] = {0};
    for (int64_t at = 0; at < whole(x.count); at += LANES) {
        wide logits[K], top;
        vec powers[K], sum = {0}, live;
        EACH_LANE live[lane] = at + lane < x.count;
        EACH_COMPONENT {
            logits[k] = level[k] - 0.5 * load_wide(w->joint + k * l->height + at);
            if (k == 0) top = logits[0];
            else EACH_LANE top[lane] = logits[k][lane] > top[lane] ? logits[k][lane] : top[lane];
        }
        EACH_COMPONENT {
            powers[k] = power_of_two(narrow((logits[k] - top) * 1.4426950408889634));
            sum += powers[k];
        }
        EACH_COMPONENT {
            vec share = powers[k] / sum;
            EACH_LANE share[lane] = live[lane] ? share[lane] : 0;
            store(r + k * l->room + x.first + at, share);
            mass[k] += share;
        }
    }
    EACH_COMPONENT w->mass[k] += sum_of(mass[k]);
}

/* Sum r u and r u^2 over units, or g r and g r u for gradients g of the output; `moved`: with u =
   x - pivot - shift, else x - pivot. */
INLINE void sum_lines(const Layout *l, const Tables *tables, Work *w, Tile x, Tile g,
                      const float *r, int backward, int moved, int by_unit, int64_t i, int lines) {
    int64_t j = 0;
    vec pivot[K], shift[K], weights[K], first[K], second[K];
    no_sums(first, second);
    if (!by_unit) TABLE(pivot, tables->pivot);
    if (!by_unit && moved) TABLE(shift, tables->shift);
    EACH_VECTOR {
        if (by_unit) no_sums(first, second);
        if (by_unit) TABLE(pivot, tables->pivot);
        if (by_unit && moved) TABLE(shift, tables->shift);
        EACH_OF_GROUP {
            vec values = VALUES(x), gradient = values;
            if (backward) gradient = VALUES(g);
            UNITS(weights, r + x.first, l->room);
            EACH_COMPONENT {
                vec u = values - pivot[k], one;
                if (moved) u -= shift[k];
                one = weights[k] * (backward ? gradient : u);
                first[k] += one, second[k] += one * u;
            }
        }
        if (by_unit) add_sums(l, w, j * LANES, first, second, 1);
    }
    if (!by_unit) add_sums(l, w, i, first, second, 0);
}

INLINE void sum_up(const Layout *l, const Tables *tables, Work *w, Tile x, Tile g, const float *r,
                   int backward, int moved, int by_unit) {
#define SUM_LINES(i, lines) sum_lines(l, tables, w, x, g, r, backward, moved, by_unit, i, lines)
    IN_GROUPS(SUM_LINES);
    end_tile(l, w, by_unit);
}

/* Write bias + sum_k r_k (slope_k (x - pivot_k) + level_k). */
INLINE void mix_lines(const Layout *l, const Tables *tables, Tile x, Tile y, const float *r,
                      int by_unit, int64_t i, int lines) {
    int64_t j = 0;
    vec pivot[K], slope[K], level[K], weights[K], bias;
    EACH_VECTOR {
        if (by_unit || j == 0) {
            TABLE(pivot, tables->pivot);
            TABLE(slope, tables->slope);
            TABLE(level, tables->level);
            bias = by_unit ? load(tables->bias + j * LANES) : (vec){0} + tables->bias[i];
        }
        EACH_OF_GROUP {
            vec values = VALUES(x), sum = bias;
            UNITS(weights, r + x.first, l->room);
            EACH_COMPONENT sum += weights[k] * (slope[k] * (values - pivot[k]) + level[k]);
            store(y.start + (i + n) * y.stride + j * LANES, sum);
        }
    }
}

INLINE void mix(const Layout *l, const Tables *tables, Tile x, Tile y, const float *r,
                int by_unit) {
#define MIX_LINES(i, lines) mix_lines(l, tables, x, y, r, by_unit, i, lines)
    IN_GROUPS(MIX_LINES);
}

/* Sum h = (g slope + by_mean + by_var u) u over channels: the gradient of each responsibility,
   but for a constant of its component. */
INLINE void sum_channels_of_lines(const Layout *l, const Tables *tables, Work *w, Tile x, Tile g,
                                  int by_unit, int64_t i, int lines) {
    int64_t j = 0;
    vec pivot[K], shift[K], slope[K], by_mean[K], by_var[K], sums[GROUP][K];
    EACH_OF_GROUP EACH_COMPONENT sums[n][k] = (vec){0};
    EACH_VECTOR {
        if (by_unit || j == 0) {
            TABLE(pivot, tables->pivot);
            TABLE(shift, tables->shift);
            TABLE(slope, tables->slope);
            TABLE(by_mean, tables->by_mean);
            TABLE(by_var, tables->by_var);
        }
        EACH_OF_GROUP {
            vec values = VALUES(x), gradient = VALUES(g);
            EACH_COMPONENT {
                vec u = values - pivot[k] - shift[k];
                vec h = (gradient * slope[k] + by_mean[k] + by_var[k] * u) * u;
                float *at = w->h + k * l->height + j * LANES;
                if (by_unit) sums[n][k] += h;
                else store(at, load(at) + h);
            }
        }
    }
    if (by_unit) EACH_OF_GROUP EACH_COMPONENT w->h[k * l->height + i + n] = sum_of(sums[n][k]);
}

INLINE void sum_over_channels(const Layout *l, const Tables *tables, Work *w, Tile x, Tile g,
                              int by_unit) {
    if (!by_unit) memset(w->h, 0, K * l->height * sizeof(float));
#define SUM_CHANNELS(i, lines) sum_channels_of_lines(l, tables, w, x, g, by_unit, i, lines)
    IN_GROUPS(SUM_CHANNELS);
}

/* Turn h into the gradients e of the logits, and add up these; without `drop`, h stays but for the
   constants. */
static void pass_softmax(const Layout *l, const float *drop, Work *w, Tile x, const float *r,
                         int to_logits) {
    vec mass[K] = {0};
    for (int64_t at = 0; at < whole(x.count); at += LANES) {
        vec h[K], weights[K], mean = {0};
        take(h, w->h, l->height, at, 1);
        take(weights, r + x.first, l->room, at, 1);
        EACH_COMPONENT {
            h[k] -= drop[k];
            mean += weights[k] * h[k];
        }
        EACH_COMPONENT {
            vec e = to_logits ? weights[k] * (h[k] - mean) : h[k];
            EACH_LANE e[lane] = at + lane < x.count ? e[lane] : 0;
            store(w->h + k * l->height + at, e);
            mass[k] += e;
        }
    }
    EACH_COMPONENT w->mass[k] += sum_of(mass[k]);
}

/* What depends on the responsibilities' gradients: nothing, the gate, what gave them, or a linear
   gate. */
enum { CONSTANT, BY_GATE, GIVEN, LINEAR };

/* Write the gradients of x; with `gate_too`, sum e d and e d^2 over units, with d = x - pivot. */
INLINE void spread_lines(const Layout *l, const Tables *tables, Work *w, Tile x, Tile g, Tile dx,
                         const float *r, int to_gate, int gate_too, int by_unit, int64_t i,
                         int lines) {
    int64_t j = 0;
    vec pivot[K], shift[K], slope[K], by_mean[K], by_var[K], inverse[K], weights[K], e[K];
    vec first[K], second[K];
    no_sums(first, second);
    EACH_VECTOR {
        if (by_unit || j == 0) {
            no_sums(first, second);
            TABLE(pivot, tables->pivot);
            TABLE(shift, tables->shift);
            TABLE(slope, tables->slope);
            TABLE(by_mean, tables->by_mean);
            TABLE(by_var, tables->by_var);
            if (to_gate) TABLE(inverse, tables->inverse_var);
        }
        EACH_OF_GROUP {
            vec values = VALUES(x), gradient = VALUES(g), sum = {0};
            UNITS(weights, r + x.first, l->room);
            if (to_gate) UNITS(e, w->h, l->height);
            EACH_COMPONENT {
                vec d = values - pivot[k], twice = by_var[k] + by_var[k];
                sum += weights[k] * (gradient * slope[k] + by_mean[k] + twice * (d - shift[k]));
                if (!to_gate) continue;
                vec ed = e[k] * d;
                sum -= (to_gate == LINEAR ? e[k] : ed) * inverse[k];
                if (gate_too) first[k] += ed, second[k] += ed * d;
            }
            store(dx.start + (i + n) * dx.stride + j * LANES, sum);
        }
        if (gate_too && by_unit) add_sums(l, w, j * LANES, first, second, 1);
    }
    if (gate_too && !by_unit) add_sums(l, w, i, first, second, 0);
}

INLINE void spread(const Layout *l, const Tables *tables, Work *w, Tile x, Tile g, Tile dx,
                   const float *r, int to_gate, int gate_too, int by_unit) {
#define SPREAD_LINES(i, lines) \
    spread_lines(l, tables, w, x, g, dx, r, to_gate, gate_too, by_unit, i, lines)
    IN_GROUPS(SPREAD_LINES);
    if (gate_too) end_tile(l, w, by_unit);
}
