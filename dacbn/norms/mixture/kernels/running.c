/* `follow` as a function of a library: one call in place of a dozen operations of torch, each of
   which costs more than its arithmetic. */

#include "running.h"

void follow_batch(float *prior, float *mean, float *var, const float *share,
                  const float *new_mean, const float *new_var, int64_t clusters, int64_t channels,
                  int64_t per_component, int64_t stride, double values, double momentum) {
    follow(prior, mean, var, share, new_mean, new_var, clusters, channels, per_component, stride,
           values, momentum);
}
