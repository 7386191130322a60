/* Vectors of floats, with the processor's instructions for them. */

#pragma once

#ifdef __SSE__
#include <immintrin.h>
#endif
#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__)
#define BYTES 64
#elif defined(__AVX__)
#define BYTES 32
#else
#define BYTES 16
#endif
enum { LANES = BYTES / 4 };

typedef float vec __attribute__((vector_size(BYTES)));
typedef int32_t ints __attribute__((vector_size(BYTES)));
typedef double wide __attribute__((vector_size(2 * BYTES)));
typedef int64_t longs __attribute__((vector_size(2 * BYTES)));

#define INLINE static inline __attribute__((always_inline))
#define EACH_LANE for (int lane = 0; lane < LANES; lane++)

INLINE vec load(const float *from) {
    vec v;
    memcpy(&v, from, sizeof v);
    return v;
}

INLINE void store(float *to, vec v) { memcpy(to, &v, sizeof v); }

/* The larger of two; b if either is NaN. */
INLINE vec larger(vec a, vec b) {
#if defined(__AVX512F__)
    return _mm512_max_ps(a, b);
#elif defined(__AVX__)
    return _mm256_max_ps(a, b);
#elif defined(__SSE__)
    return _mm_max_ps(a, b);
#else
    ints first = a > b;
    return (vec)((first & (ints)a) | (~first & (ints)b));
#endif
}

/* Whether any lane is above a bound. */
INLINE int any_above(vec v, float bound) {
#if defined(__AVX512F__)
    return _mm512_cmp_ps_mask(v, _mm512_set1_ps(bound), _CMP_GT_OQ);
#elif defined(__AVX__)
    return _mm256_movemask_ps((vec)(v > bound));
#elif defined(__SSE__)
    return _mm_movemask_ps((vec)(v > bound));
#else
    int found = 0;
    EACH_LANE found |= v[lane] > bound;
    return found;
#endif
}

/* 2^t for t <= 127, with relative error 3e-7, or 3e-6 beside activations in bfloat16, which are
   rounded by a thousand times as much; exactly 1 for t = 0, so that equal components stay equal.
   Smaller powers than 2^-126 may be 2^-126. No density in float32 exceeds 2^63. */
INLINE vec power_of_two(vec t) {
#ifdef __AVX512DQ__
    /* the part after the integer below, and that integer as the exponent */
    vec f = _mm512_reduce_ps(t, _MM_FROUND_TO_NEG_INF);
#ifdef BFLOAT16
    vec p = 1.342668449e-2f * f + 5.224247372e-2f;
    p = p * f + 2.412802051e-1f;
    p = p * f + 6.930448448e-1f;
    return _mm512_scalef_ps(p * f + 1.0f, t);
#else
    vec p = 1.867130096e-3f * f + 9.017030249e-3f;
    p = p * f + 5.579991318e-2f;
    p = p * f + 2.401644501e-1f;
    p = p * f + 6.931513118e-1f;
    return _mm512_scalef_ps(p * f + 1.0f, t);
#endif
#else
    /* Adding 1.5 * 2^23 + 127 rounds t; the low bits of the sum are the exponent of the power. */
    const float round = 12583039.0f;
    t = larger((vec){0} - 126.0f, t);
    vec whole = t + round, f = t - (whole - round);
    vec p = 1.32647273e-3f * f + 9.67151299e-3f;
    p = p * f + 5.55073358e-2f;
    p = p * f + 2.40222424e-1f;
    p = p * f + 6.93147004e-1f;
    p = p * f + 1.0f;
    ints scale;
    memcpy(&scale, &whole, sizeof scale);
    scale <<= 23;
    vec power;
    memcpy(&power, &scale, sizeof power);
    return p * power;
#endif
}

INLINE vec narrow(wide v) { return __builtin_convertvector(v, vec); }

INLINE wide root(wide v) {
    double lanes[LANES]; /* compilers vectorise a loop over an array, but not one over lanes */
    memcpy(lanes, &v, sizeof v);
    EACH_LANE lanes[lane] = sqrt(lanes[lane]);
    memcpy(&v, lanes, sizeof v);
    return v;
}
