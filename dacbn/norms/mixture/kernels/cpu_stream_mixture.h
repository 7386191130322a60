/* A step of `StreamUCBNorm`, which is the same computation in torch. */

#pragma once

#include "cpu_stream.h"
#include "running.h"

static const double PSEUDO_COUNT = 1e-5, TWO_PI = 6.283185307179586; /* the former of moments.py */

/* The sum of logarithms, of products of eight: variances in float cannot overflow those. */
static double sum_of_logs(const double *v, int64_t count) {
    double sum = 0;
    for (int64_t first = 0; first < count; first += 8) {
        double product = 1;
        for (int64_t i = first; i < least(first + 8, count); i++) product *= v[i];
        sum += log(product);
    }
    return sum;
}

/* To what degree samples belong to Gaussian components, as `sample_log_joint(...).softmax(0)`. */
static void assign_by_density(Step *s, const float *prior, const float *mean, const float *var,
                              double eps, double *logits) {
    double *total = s->sums, *precision = total + s->channels;
    for (int64_t k = 0; k < s->clusters; k++) {
        const float *m = mean + k * s->channels, *v = var + k * s->channels;
        EACH_CHANNEL {
            total[c] = (float)(v[c] + (float)eps);
            precision[c] = 1 / total[c];
        }
        double shared = sum_of_logs(total, s->channels) + s->channels * log(TWO_PI);
        double share = log(prior[k] < SMALLEST_PRIOR ? SMALLEST_PRIOR : prior[k]);
        for (int64_t n = 0; n < s->samples; n++) {
            const float *own = s->mean + n * s->channels, *own_var = s->var + n * s->channels;
            double sum = 0;
#pragma omp simd reduction(+ : sum)
            for (int64_t c = 0; c < s->channels; c++) {
                double away = (double)own[c] - m[c];
                sum += (away * away + own_var[c]) * precision[c];
            }
            logits[n * s->clusters + k] = share - 0.5 * (sum + shared);
        }
    }
    for (int64_t n = 0; n < s->samples; n++)
        softmax(logits + n * s->clusters, s->belongs + n * s->clusters, s->clusters);
}

/* Each component's share of the batch, mean and biased variance, as `pool_samples`. */
static void pool(const Step *s, const float *mean, const float *var, float *share,
                 float *new_mean, float *new_var) {
    double *first = s->sums, *second = first + s->channels;
    for (int64_t k = 0; k < s->clusters; k++) {
        const float *m = mean + k * s->channels, *v = var + k * s->channels;
        double mass = 0;
        memset(first, 0, 2 * s->channels * sizeof(double));
        for (int64_t n = 0; n < s->samples; n++) {
            const float *own = s->mean + n * s->channels, *own_var = s->var + n * s->channels;
            double p = s->belongs[n * s->clusters + k];
            mass += p;
            EACH_CHANNEL {
                double away = (double)own[c] - m[c];
                first[c] += p * away;
                second[c] += p * (away * away + own_var[c]);
            }
        }
        share[k] = mass / s->samples;
        double before = PSEUDO_COUNT / s->positions, count = mass + before;
        EACH_CHANNEL {
            double moved = first[c] / count;
            double squares = second[c] - (2 * first[c] - mass * moved) * moved;
            double found = (squares + before * v[c]) / count;
            new_mean[k * s->channels + c] = m[c] + moved;
            new_var[k * s->channels + c] = found < 0 ? 0 : found; /* NaN stays */
        }
    }
}

/* The line of each sample, as `line_of_samples`, in place of its moments. */
static void mix_lines(Step *s, const float *mean, const float *var, const float *weight,
                      const float *bias, double eps, float *slopes) {
    for (int64_t k = 0; k < s->clusters; k++)
        EACH_CHANNEL {
            int64_t i = k * s->channels + c;
            slopes[i] = (weight ? weight[c] : 1) / sqrtf(var[i] + (float)eps);
        }
    double *slope = s->sums, *shift = slope + s->channels;
    for (int64_t n = 0; n < s->samples; n++) {
        EACH_CHANNEL {
            slope[c] = 0;
            shift[c] = bias ? bias[c] : 0;
        }
        for (int64_t k = 0; k < s->clusters; k++) {
            const float *of = slopes + k * s->channels, *m = mean + k * s->channels;
            double p = s->belongs[n * s->clusters + k];
            EACH_CHANNEL {
                double term = p * of[c];
                slope[c] += term;
                shift[c] -= term * m[c];
            }
        }
        EACH_CHANNEL {
            s->mean[n * s->channels + c] = slope[c];
            s->var[n * s->channels + c] = shift[c];
        }
    }
}

/* A step of `StreamUCBNorm`: components of these shares, means and variances move by a `rate`
   towards the samples and by `back` to their start, and normalise them. */
int stream_mixture(const value *x, value *out, float *prior, float *mean, float *var,
                   const float *start_mean, const float *start_var, const float *weight,
                   const float *bias, double eps, double rate, double back, int64_t clusters,
                   int64_t samples, int64_t channels, int64_t positions, int channels_last,
                   int threads) {
    Step s = {samples, channels, clusters, positions};
    int64_t size = clusters * channels;
    double *logits = malloc(samples * clusters * sizeof(double) + clusters * sizeof(float));
    if (!logits || allocate(&s, 2)) {
        free(logits);
        return 1;
    }
    float *share = (float *)(logits + samples * clusters), *new_mean = s.tables;
    int failed = start(&s, x, channels_last, threads);
    assign_by_density(&s, prior, mean, var, eps, logits);
    pool(&s, mean, var, share, new_mean, new_mean + size);
    follow(prior, mean, var, share, new_mean, new_mean + size, clusters, channels, 1, 1,
           samples * positions, rate);
    for (int64_t i = 0; back && i < size; i++) {
        mean[i] += back * ((double)start_mean[i] - mean[i]);
        var[i] += back * ((double)start_var[i] - var[i]);
    }
    mix_lines(&s, mean, var, weight, bias, eps, s.tables);
    free(logits);
    return finish(&s, x, out, channels_last, threads) | failed;
}
