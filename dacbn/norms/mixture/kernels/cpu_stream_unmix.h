/* A step of `UnMixNorm`, which is the same computation in torch. */

#pragma once

#include "cpu_stream.h"

/* Of unmix_norm.py, and of torch's normalize. */
static const double LARGEST = 1e30, TEMPERATURE = 0.07, SMALLEST_NORM = 1e-12;

/* To what degree samples belong to components, by the cosine of their means. */
static void assign_by_angle(Step *s, const float *means, double *room) {
    double *norms = room + s->clusters;
    for (int64_t k = 0; k < s->clusters; k++) {
        double sum = 0;
        for (int64_t c = 0; c < s->channels; c++)
            sum += (double)means[k * s->channels + c] * means[k * s->channels + c];
        norms[k] = fmax(sqrt(sum), SMALLEST_NORM);
    }
    for (int64_t n = 0; n < s->samples; n++) {
        const float *own = s->mean + n * s->channels;
        double squares = 0;
        for (int64_t c = 0; c < s->channels; c++) squares += (double)own[c] * own[c];
        double norm = fmax(sqrt(squares), SMALLEST_NORM);
        for (int64_t k = 0; k < s->clusters; k++) {
            double sum = 0;
            const float *m = means + k * s->channels;
#pragma omp simd reduction(+ : sum)
            for (int64_t c = 0; c < s->channels; c++) sum += (double)own[c] * m[c];
            room[k] = sum / (norm * norms[k] * TEMPERATURE);
        }
        softmax(room, s->belongs + n * s->clusters, s->clusters);
    }
}

/* Turn the moments of a sample to units of the source's; returns whether all are finite. */
static int in_units(const Step *s, int64_t n, const float *source_mean, const float *unit) {
    float *own = s->mean + n * s->channels, *own_var = s->var + n * s->channels, sum = 0;
    for (int64_t c = 0; c < s->channels; c++) {
        own[c] = (own[c] - source_mean[c]) / unit[c];
        own_var[c] /= unit[c] * unit[c];
        sum += 0 * own[c] + 0 * own_var[c]; /* NaN unless both are finite */
    }
    return sum == 0;
}

/* Move components, in place, by how far finite samples belong to them, times a pace. */
static void move_towards(const Step *s, const float *own, float *held, double pace) {
    double *towards = s->sums;
    for (int64_t k = 0; k < s->clusters; k++) {
        double mass = 0;
        memset(towards, 0, s->channels * sizeof(double));
        for (int64_t n = 0; n < s->samples; n++) {
            double p = s->belongs[n * s->clusters + k];
            mass += p;
            if (p > 0) EACH_CHANNEL towards[c] += p * own[n * s->channels + c];
        }
        EACH_CHANNEL {
            float *each = held + k * s->channels + c;
            *each += pace * (towards[c] - mass * *each);
        }
    }
}

/* Moments that average the components as a sample moves them: `unmixed`, in units. */
static void unmix(const Step *s, int64_t n, const float *offset, const float *spread) {
    const float *own = s->mean + n * s->channels, *own_var = s->var + n * s->channels;
    double *mean = s->sums, *squares = mean + s->channels, *within = squares + s->channels;
    memset(mean, 0, 3 * s->channels * sizeof(double));
    for (int64_t k = 0; k < s->clusters; k++) {
        const float *o = offset + k * s->channels, *v = spread + k * s->channels;
        double p = s->belongs[n * s->clusters + k];
        EACH_CHANNEL {
            double moved = o[c] + p * ((double)own[c] - o[c]);
            mean[c] += moved;
            squares[c] += moved * moved;
            within[c] += v[c] + p * ((double)own_var[c] - v[c]);
        }
    }
    EACH_CHANNEL {
        mean[c] /= s->clusters;
        double between = squares[c] / s->clusters - mean[c] * mean[c];
        within[c] = within[c] / s->clusters + (between < 0 ? 0 : between);
    }
}

/* A step of `UnMixNorm`: each sample is normalised by components, offsets and variances in units
   of the source, that it moves by itself; then all samples move them by a `rate`. */
int stream_unmix(const value *x, value *out, float *offset, float *spread,
                 const float *source_mean, const float *source_var, const float *weight,
                 const float *bias, double eps, double rate, int64_t clusters, int64_t samples,
                 int64_t channels, int64_t positions, int channels_last, int threads) {
    Step each = {samples, channels, clusters, positions}, *s = &each;
    int64_t floats = channels * (2 * samples + 1);
    double *room = malloc(2 * clusters * sizeof(double) + floats * sizeof(float));
    if (!room || allocate(s, 1)) {
        free(room);
        return 1;
    }
    float *unit = (float *)(room + 2 * clusters), *lines = unit + channels;
    int failed = start(s, x, channels_last, threads);
    EACH_CHANNEL unit[c] = sqrt(fmin(fmax(source_var[c], eps), LARGEST));
    for (int64_t k = 0; k < clusters; k++)
        EACH_CHANNEL {
            int64_t i = k * channels + c;
            s->tables[i] = source_mean[c] + unit[c] * offset[i];
        }
    assign_by_angle(s, s->tables, room);
    for (int64_t n = 0; n < samples; n++) {
        int finite = in_units(s, n, source_mean, unit);
        unmix(s, n, offset, spread);
        double *mean = s->sums, *var = mean + 2 * channels;
        float *slope = lines + n * channels, *shift = slope + samples * channels;
        EACH_CHANNEL {
            double total = (double)unit[c] * unit[c] * var[c] + eps;
            slope[c] = (weight ? weight[c] : 1) / sqrt(total);
            shift[c] = (bias ? bias[c] : 0) - (source_mean[c] + unit[c] * mean[c]) * slope[c];
        }
        for (int64_t k = 0; !finite && k < clusters; k++) s->belongs[n * clusters + k] = 0;
    }
    move_towards(s, s->mean, offset, rate / samples);
    move_towards(s, s->var, spread, rate / samples);
    memcpy(s->mean, lines, 2 * samples * channels * sizeof(float));
    failed |= finish(s, x, out, channels_last, threads);
    free(room);
    return failed;
}
