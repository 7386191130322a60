/* Move a running mixture towards the moments of a batch, as `RunningMixture.update` does. */

#pragma once

#include <math.h>
#include <stdint.h>

/* A share counts as at least this much, as in arguments.py. */
static const double SMALLEST_PRIOR = 1e-6;

/* What is infinite or NaN stays. Tables are (clusters, channels); shares and priors are too, or
   there is one of each component, shares `stride` apart. */
static void follow(float *prior, float *mean, float *var, const float *share,
                   const float *new_mean, const float *new_var, int64_t clusters,
                   int64_t channels, int64_t per_component, int64_t stride, double values,
                   double momentum) {
    const double unbiased = values / (values - 1), rate = momentum;
    for (int64_t k = 0; k < clusters; k++) {
        double step = 0;
        if (per_component == 1) {
            float own = share[k * stride] < INFINITY ? share[k * stride] : prior[k];
            prior[k] += rate * ((double)own - prior[k]);
            step = rate * own / (prior[k] < SMALLEST_PRIOR ? SMALLEST_PRIOR : prior[k]);
        }
#pragma GCC ivdep
        for (int64_t i = k * channels; i < (k + 1) * channels; i++) {
            double to_var = new_var[i] * unbiased, before = var[i], pace = step;
            int finite = (float)to_var < INFINITY;
            if (per_component > 1) {
                double own = finite ? share[i] : prior[i];
                double moved = prior[i] + rate * (own - prior[i]);
                prior[i] = moved;
                pace = rate * own / (moved < SMALLEST_PRIOR ? SMALLEST_PRIOR : moved);
            }
            mean[i] += finite ? pace * ((double)new_mean[i] - mean[i]) : 0;
            var[i] += finite ? pace * (to_var - before) : 0;
        }
    }
}
