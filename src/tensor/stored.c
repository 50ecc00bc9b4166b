/* stored.c -- numbers as files hold them, to mo_real and back.
 *
 *   bfloat16   the upper 16 bits of a float
 *   float16    sign, 5 bits of exponent, 10 of mantissa (IEEE 754 binary16)
 *
 * To a float both are exact: bfloat16 by a shift; float16 by moving its bits under a float's exponent and a
 * product with 2^112, the difference of the two biases, which is exact for denormal numbers too. The way back
 * rounds to the nearest, ties to even, in integers; of a double first to a float by truncation with the last
 * bit set if anything was lost (round to odd), after which a second rounding to at most 11 bits is the right
 * one (Boldo & Melquiond 2008, theorem 1). Loads and stores are memcpy, since a file aligns nothing; all
 * loops are without branches, for the compiler to vectorise. */
#include <string.h>

#include "tensor/stored.h"

static inline uint32_t bits_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static void expand_f32(const unsigned char *in, int64_t count, mo_real *out)
{
    for (int64_t i = 0; i < count; i++) {
        float x;
        memcpy(&x, in + i * 4, sizeof x);
        out[i] = (mo_real)x;
    }
}

static void expand_f16(const unsigned char *in, int64_t count, mo_real *out)
{
    for (int64_t i = 0; i < count; i++) out[i] = (mo_real)mo__f16_at(in, i);
}

static void expand_bf16(const unsigned char *in, int64_t count, mo_real *out)
{
    for (int64_t i = 0; i < count; i++) out[i] = (mo_real)mo__bf16_at(in, i);
}

void mo__expand(mo_dtype dtype, const unsigned char *in, int64_t count, mo_real *out)
{
    if (dtype == MO_BF16)
        expand_bf16(in, count, out);
    else if (dtype == MO_F16)
        expand_f16(in, count, out);
    else
        expand_f32(in, count, out);
}

void mo_stored_expand(const mo_stored *s, int64_t part, int64_t first, int64_t count, mo_real *out)
{
    MO_ASSERT(part >= 0 && part < s->parts && first >= 0 && count >= 0 && first + count <= s->part_elements);
    const unsigned char *in = s->part[part];
    mo__expand(s->dtype, in + (size_t)first * mo_dtype_size(s->dtype), count, out);
}

/* The float that the 16 bits are rounded from. */
#ifdef MO_REAL_DOUBLE
static inline uint32_t odd_bits(double x)
{
    float f = (float)x;
    uint32_t bits = bits_of(f);
    double back = (double)f;
    /* Away from zero by rounding: one step back. A NaN compares unequal to all and keeps its bits. */
    bits -= __builtin_fabs(back) > __builtin_fabs(x);
    return bits | (back < x || back > x);
}
#else
static inline uint32_t odd_bits(float x)
{
    return bits_of(x);
}
#endif

static inline uint16_t to_bf16(uint32_t bits)
{
    uint32_t rounded = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16, quiet = bits >> 16 | 0x40u;
    return (uint16_t)((bits & 0x7fffffffu) > 0x7f800000u ? quiet : rounded);
}

static inline uint16_t to_f16(uint32_t bits)
{
    uint32_t sign = bits >> 16 & 0x8000u, size = bits & 0x7fffffffu;
    uint32_t normal = (size - (112u << 23) + 0xfffu + (size >> 13 & 1u)) >> 13;
    /* Below 2^-14 the unit is 2^-24, the last place of floats from 1/2 to 1: the sum rounds. */
    float absolute, half = 0.5f;
    memcpy(&absolute, &size, sizeof absolute);
    uint32_t small = bits_of(absolute + half) - bits_of(half);
    uint32_t h = size < (113u << 23) ? small : normal;
    h = size >= 0x477ff000u ? 0x7c00u : h;                        /* 65520 and more */
    h = size > 0x7f800000u ? 0x7e00u | (size >> 13 & 0x3ffu) : h; /* NaN */
    return (uint16_t)(sign | h);
}

void mo_narrow(mo_dtype dtype, const mo_real *x, int64_t count, void *out)
{
    unsigned char *to = out;
    if (dtype == MO_BF16) {
        for (int64_t i = 0; i < count; i++) {
            uint16_t h = to_bf16(odd_bits(x[i]));
            memcpy(to + i * 2, &h, sizeof h);
        }
    } else if (dtype == MO_F16) {
        for (int64_t i = 0; i < count; i++) {
            uint16_t h = to_f16(odd_bits(x[i]));
            memcpy(to + i * 2, &h, sizeof h);
        }
    } else {
        MO_ASSERT(dtype == MO_F32);
        for (int64_t i = 0; i < count; i++) {
            float f = (float)x[i];
            memcpy(to + i * 4, &f, sizeof f);
        }
    }
}
