/* Computations between passes over the tiles: the gate's constants, moments from sums, and gradients
   through moments. In double, channel by channel. */

#pragma once

#include "joint_passes.h"
#include "running.h"

/* Rows of the table that forward fills and backward reads, and of that of gradients, as in
   arguments.py. */
enum { LOG_PRIOR, GATE_MEAN, GATE_VAR, SHARE, MEAN, VAR, OFFSET, DRAG };
enum { D_LOG_PRIOR, D_GATE_MEAN, D_GATE_VAR, D_MEAN, D_VAR, D_SCALE };

/* The arguments of a call. */
typedef struct {
    Layout layout;
    const float *x, *gradient, *log_prior, *gate_mean, *gate_var, *scale, *weight, *bias, *given;
    float *y, *dx, *r, *prior, *mean, *var, *table, *gradients, *d_given, *d_weight, *d_bias;
    double eps, gate_eps, pseudo_count, least_var, momentum;
    int from_batch, shares, by_share, route, gate_too, threads;
} Call;

static const float *row_of(const Call *call, int row) {
    return call->table + row * K * call->layout.channels;
}

/* Rows of tables do not overlap, which the compiler cannot know. */
#define EACH_CHANNEL _Pragma("GCC ivdep") for (int64_t c = 0; c < channels; c++)
#define EACH_ENTRY EACH_COMPONENT EACH_CHANNEL
#define AT(row) call->table[((row) * K + k) * channels + c]
#define WIDE (k * l->wide + c)

/* Copy the gate into the table, and find its constants; `level` gets those of the logits. */
static void open_gate(const Call *call, const Tables *tables, double *level) {
    const Layout *l = &call->layout;
    const int64_t channels = l->channels;
    const int gaussian = call->route == BY_GATE, linear = call->route == LINEAR;
    const float *pivot = gaussian ? call->gate_mean : call->mean;
    EACH_COMPONENT {
        double prior = call->given ? 0 : call->log_prior[k], logs = 0;
        if (gaussian && call->shares)
            prior = log(prior < SMALLEST_PRIOR ? SMALLEST_PRIOR : prior);
        EACH_CHANNEL {
            float var = call->given ? 1 : call->gate_var[k * channels + c];
            var += (float)call->gate_eps;
            AT(LOG_PRIOR) = prior, AT(GATE_VAR) = var;
            AT(GATE_MEAN) = tables->pivot[WIDE] = pivot[k * channels + c];
            tables->precision[WIDE] = linear ? -2 * (double)var : 1 / (double)var;
        }
        for (int64_t first = 0; first < channels && gaussian; first += 4) {
            double product = 1; /* one logarithm for four variances, whose product is in range */
            for (int64_t c = first; c < least(first + 4, channels); c++) product *= AT(GATE_VAR);
            logs += log(product);
        }
        level[k] = prior - 0.5 * logs;
    }
}

/* Compute moments from sums; returns whether a mean is too far from its shift for an exact
   variance. */
static int find_moments(const Call *call, const Tables *tables, const double *mass, Work *w) {
    const Layout *l = &call->layout;
    const int64_t channels = l->channels;
    const double few = call->pseudo_count;
    int64_t far = 0;
    EACH_COMPONENT {
        const double held = mass[k], each = 1 / (held + few), share = held / l->units;
        const double *first = w->sums[0] + k * l->wide, *second = w->sums[1] + k * l->wide;
        EACH_CHANNEL {
            double from = AT(GATE_MEAN), shift = tables->shift[WIDE], sum = first[c];
            double before = call->mean[k * channels + c] - from;
            double offset = (sum + held * shift + few * before) * each, away = offset - shift;
            double squares = second[c] + away * (held * away - 2 * sum);
            far |= held * away * away > 4 * squares ? 1 : 0;
            squares = squares < 0 ? 0 : squares;
            AT(SHARE) = share;
            AT(MEAN) = from + offset;
            AT(VAR) = (squares + few * call->var[k * channels + c]) * each;
            AT(OFFSET) = offset;
            AT(DRAG) = -2 * few * (offset - before) * each;
            tables->shift[WIDE] = offset;
        }
    }
    return far != 0;
}

static void take_moments(const Call *call, const double *mass) {
    const int64_t channels = call->layout.channels;
    EACH_ENTRY {
        AT(SHARE) = mass[k] / call->layout.units;
        AT(MEAN) = call->mean[k * channels + c];
        AT(VAR) = call->var[k * channels + c];
        AT(OFFSET) = call->mean[k * channels + c] - AT(GATE_MEAN);
        AT(DRAG) = 0;
    }
}

/* Find the mean and the least variance of each channel, where there is one, and its weight. */
static void open_channels(const Call *call, const Tables *tables) {
    const Layout *l = &call->layout;
    const int64_t channels = l->channels;
    for (int64_t c = 0; c < channels; c++) tables->weight[c] = call->weight ? call->weight[c] : 1;
    if (call->least_var == 0) return;
    for (int64_t c = 0; c < channels; c++) {
        double mean = 0, var = 0;
        EACH_COMPONENT mean += AT(SHARE) * AT(MEAN);
        EACH_COMPONENT {
            double away = AT(MEAN) - mean;
            var += AT(SHARE) * (AT(VAR) + away * away);
        }
        tables->mean[c] = mean, tables->least[c] = call->least_var * var;
    }
}

static double scale_of(const Call *call, int k) {
    double share = call->table[(SHARE * K + k) * call->layout.channels];
    if (call->by_share) return 1 / sqrt(share < SMALLEST_PRIOR ? SMALLEST_PRIOR : share);
    return call->scale ? call->scale[k] : 1;
}

static void prepare_mix(const Call *call, const Tables *tables) {
    const Layout *l = &call->layout;
    const int64_t channels = l->channels;
    const double eps = call->eps;
    open_channels(call, tables);
    for (int64_t c = 0; call->bias && c < channels; c++) tables->bias[c] = call->bias[c];
    EACH_COMPONENT {
        const double scale = scale_of(call, k);
        EACH_CHANNEL {
            double least = tables->least[c], own = AT(VAR);
            double slope = tables->weight[c] * scale / sqrt((own < least ? least : own) + eps);
            tables->slope[WIDE] = slope;
            tables->level[WIDE] = -slope * AT(OFFSET);
        }
    }
}

/* Compute the gradients of moments, scale and affine from the sums, and the constants of dx. */
static void pass_through_moments(const Call *call, const Tables *tables, const Work *w,
                                 float *drop) {
    const Layout *l = &call->layout;
    const int64_t channels = l->channels;
    const double eps = call->eps, by_batch = call->from_batch ? 1 : 0;
    float *to_least = tables->bias, *drops = tables->level; /* free in a backward pass */
    open_channels(call, tables);
    EACH_COMPONENT {
        const double scale = scale_of(call, k);
        const double share = call->table[(SHARE * K + k) * channels];
        const double each = by_batch / (share * l->units + call->pseudo_count);
        const double *sums = w->sums[0] + k * l->wide, *products = w->sums[1] + k * l->wide;
        EACH_CHANNEL {
            double least = tables->least[c], own = AT(VAR), weight = tables->weight[c];
            int raised = own < least;
            double inverse = 1 / sqrt((raised ? least : own) + eps), factor = scale * inverse;
            double slope = weight * factor, d_mean = -slope * sums[c];
            double d_var = -0.5 * slope * products[c] * inverse * inverse, kept;
            tables->slope[WIDE] = slope;
            call->d_weight[c] = (k ? call->d_weight[c] : 0) + factor * products[c];
            call->d_bias[c] = (k ? call->d_bias[c] : 0) + sums[c];
            to_least[c] = (k ? to_least[c] : 0) + (raised ? d_var : 0);
            kept = raised ? 0 : d_var;
            tables->by_mean[WIDE] = (d_mean + kept * AT(DRAG)) * each;
            tables->by_var[WIDE] = kept * each;
            drops[WIDE] = kept * own * each;
        }
        wide all = {0};
        for (int64_t at = 0; at < l->wide; at += LANES)
            all += widened(load(drops + k * l->wide + at));
        drop[k] = sum_of_wide(all);
        float *row = call->gradients + k * channels;
        for (int64_t c = 0; call->gradients && c < channels; c++) {
            double least = tables->least[c], own = AT(VAR);
            double inverse = 1 / sqrt((own < least ? least : own) + eps);
            double product = products[c] * inverse, slope = tables->slope[WIDE];
            row[D_SCALE * K * channels + c] = tables->weight[c] * product;
            row[D_MEAN * K * channels + c] = -slope * sums[c];
            row[D_VAR * K * channels + c] = -0.5 * slope * product * inverse;
        }
    }
    /* The variance of all units moves each of them, whatever its component. */
    for (int64_t c = 0; call->least_var > 0 && c < channels; c++) {
        double by_all = by_batch * call->least_var * to_least[c] / l->units;
        EACH_COMPONENT {
            tables->by_var[WIDE] += by_all;
            tables->by_mean[WIDE] += 2 * by_all * (AT(MEAN) - tables->mean[c]);
        }
    }
}

static void find_gate_gradients(const Call *call, const Work *w) {
    const Layout *l = &call->layout;
    const int64_t channels = l->channels;
    const int linear = call->route == LINEAR;
    EACH_ENTRY {
        float *row = call->gradients + k * channels + c;
        double var = AT(GATE_VAR), d = w->sums[0][WIDE], dd = w->sums[1][WIDE];
        row[D_LOG_PRIOR * K * channels] = w->mass[k];
        row[D_GATE_MEAN * K * channels] = d / var;
        row[D_GATE_VAR * K * channels] = linear ? d + AT(GATE_MEAN) * w->mass[k]
                                                : 0.5 * (dd / var - w->mass[k]) / var;
    }
}
