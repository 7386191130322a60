/* What steps of mixtures that follow a stream have in common. A step leads from the moments of each
   channel of each sample to the components, which move, and to the line that normalises the sample,
   in one call: at single images, each operation of torch would cost more than its arithmetic.

   Samples have moments (samples, channels); components have tables (clusters, channels), which
   move in place. Sums are in double. */

#pragma once

#include <stdlib.h>

#include "cpu_values.h"

/* What a step works on; `slope` and `shift` take the place of `mean` and `var` at the end. */
typedef struct {
    int64_t samples, channels, clusters, positions;
    float *mean, *var, *belongs; /* of samples, and (samples, clusters) */
    double *sums;                /* SUMS tables (channels) */
    float *tables;               /* as many as asked for, (clusters, channels) */
} Step;

enum { SUMS = 3 };

#define EACH_CHANNEL _Pragma("GCC ivdep") for (int64_t c = 0; c < s->channels; c++)

static int allocate(Step *s, int64_t tables) {
    int64_t moments = s->samples * s->channels, belongs = s->samples * s->clusters;
    int64_t floats = 2 * moments + belongs + tables * s->clusters * s->channels;
    s->sums = malloc(SUMS * s->channels * sizeof(double) + floats * sizeof(float));
    if (!s->sums) return 1;
    s->mean = (float *)(s->sums + SUMS * s->channels);
    s->var = s->mean + moments;
    s->belongs = s->var + moments;
    s->tables = s->belongs + belongs;
    return 0;
}

static void softmax(const double *logits, float *p, int64_t count) {
    double most = -INFINITY, sum = 0;
    for (int64_t k = 0; k < count; k++) most = logits[k] > most ? logits[k] : most;
    for (int64_t k = 0; k < count; k++) sum += exp(logits[k] - most);
    for (int64_t k = 0; k < count; k++) p[k] = exp(logits[k] - most) / sum;
}

/* Find the moments; returns nonzero if memory runs out. */
static int start(Step *s, const value *x, int channels_last, int threads) {
    return line_moments(x, s->mean, s->var, s->samples, s->channels, s->positions, channels_last,
                        threads);
}

/* Draw the lines; returns nonzero if memory runs out. */
static int finish(Step *s, const value *x, value *out, int channels_last, int threads) {
    int failed = line_values(x, 0, out, s->mean, 0, s->var, s->samples, s->channels, s->positions,
                             channels_last, threads);
    free(s->sums);
    return failed;
}
