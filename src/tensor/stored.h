/* stored.h -- single numbers as files hold them, for loops that the compiler vectorises. */
#ifndef MOIRA_TENSOR_STORED_H
#define MOIRA_TENSOR_STORED_H

#include <string.h>

#include "moira/tensor.h"

/* Element i of unaligned bfloat16s. */
static inline float mo__bf16_at(const unsigned char *in, int64_t i)
{
    uint16_t h;
    memcpy(&h, in + i * 2, sizeof h);
    uint32_t bits = (uint32_t)h << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Element i of unaligned float16s; stored.c has the argument. */
static inline float mo__f16_at(const unsigned char *in, int64_t i)
{
    uint16_t h;
    memcpy(&h, in + i * 2, sizeof h);
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16, moved = (uint32_t)(h & 0x7fffu) << 13;
    float x;
    memcpy(&x, &moved, sizeof x);
    x *= 0x1p112f;
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    bits = (h & 0x7c00u) == 0x7c00u ? moved | 0x7f800000u : bits;
    bits |= sign;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* out[count] from unaligned numbers of a file: MO_F32, MO_F16, MO_BF16. */
void mo__expand(mo_dtype dtype, const unsigned char *in, int64_t count, mo_real *out);

#endif
