/* Activations in memory: float32, or bfloat16 if BFLOAT16 is defined. Arithmetic is in float32. */

#pragma once

#include "cpu_vectors.h"

#ifndef BFLOAT16

typedef float value;

INLINE vec load_values(const value *from) { return load(from); }

INLINE void store_values(value *to, vec v) { store(to, v); }

#else

typedef uint16_t value; /* the upper half of a float */
typedef uint16_t halves __attribute__((vector_size(BYTES / 2)));

INLINE vec load_values(const value *from) {
    halves upper;
    memcpy(&upper, from, sizeof upper);
#ifdef __AVX512F__ /* one instruction, where GCC 12 widens each half by itself */
    return (vec)((ints)_mm512_cvtepu16_epi32((__m256i)upper) << 16);
#else
    return (vec)(__builtin_convertvector(upper, ints) << 16);
#endif
}

/* Round to the nearest, to even ones between two. */
INLINE void store_values(value *to, vec v) {
#if defined(__AVX512BF16__) && defined(__AVX512F__)
    __m256bh upper = _mm512_cvtneps_pbh(v);
#else
    ints bits = (ints)v, nan = v != v; /* rounding could carry NaN into infinity */
    ints nearest = bits + (0x7fff + (bits >> 16 & 1));
    ints chosen = (nan & (bits | 0x400000)) | (~nan & nearest);
    halves upper = __builtin_convertvector(chosen >> 16, halves);
#endif
    memcpy(to, &upper, sizeof upper);
}

#endif

/* The same for the first `width` lanes only; the others are 0. */
INLINE vec load_few(const value *from, int64_t width) {
    value some[LANES] = {0};
    memcpy(some, from, width * sizeof(value));
    return load_values(some);
}

INLINE void store_few(value *to, vec v, int64_t width) {
    value some[LANES];
    store_values(some, v);
    memcpy(to, some, width * sizeof(value));
}
