/* rows.h -- elementwise maths that compilers vectorise inside `omp simd` loops. The double build uses libm.
 * NaN in, NaN out.
 *
 * mo_exp in float: exp(x) = 2^n exp(r), n = rint(x log2 e), r = x - n ln 2 in two parts (Cody & Waite),
 * exp(r) by the degree-6 polynomial of Cephes' expf; error below 2 ulp on [-87, 88.3], 0 below, infinite
 * above. SLEEF's sleef_expf16 gives the same accuracy but needs one call per instruction set.
 *
 * mo_ln in float: x = 2^n m, m in [sqrt 1/2, sqrt 2), ln x = n ln 2 + ln m in two parts, ln(1 + f) = f -
 * f^2/2 + f^3 P(f) by the degree-8 polynomial of Cephes' logf; error below 1 ulp. -infinite at 0, NaN below.
 *
 * mo_normal_cdf in float: Phi(-a) = exp(-a^2/2) t P(t), t = 1 / (1 + 0.3 a), a >= 0, P of degree 7 by Remez
 * exchange on a in [0, 14] with relative error below 1.5e-7; no cancellation for negative arguments. */
#ifndef MOIRA_TENSOR_ROWS_H
#define MOIRA_TENSOR_ROWS_H

#include <math.h>
#include <string.h>

#include "moira/tensor.h"

#ifdef MO_REAL_DOUBLE

static inline mo_real mo_exp(mo_real x)
{
    return exp(x);
}
static inline mo_real mo_ln(mo_real x)
{
    return log(x);
}
static inline mo_real mo_sqrt(mo_real x)
{
    return sqrt(x);
}
static inline mo_real mo_abs(mo_real x)
{
    return fabs(x);
}
static inline mo_real mo_fmax(mo_real a, mo_real b)
{
    return a > b ? a : b;
}
static inline mo_real mo_normal_cdf(mo_real x)
{
    return 0.5 * erfc(-x * 0x1.6a09e667f3bcdp-1);
}

#else

static inline mo_real mo_sqrt(mo_real x)
{
    return sqrtf(x);
}
static inline mo_real mo_abs(mo_real x)
{
    return fabsf(x);
}
static inline mo_real mo_fmax(mo_real a, mo_real b)
{
    return a > b ? a : b;
}

static inline mo_real mo_exp(mo_real x)
{
    /* Adding 1.5 * 2^23, whose bits are MAGIC, rounds to an integer and leaves it in the low bits. Only the
     * lower end compares floats: of several comparisons that hang on each other the compiler makes branches.
     */
    const int32_t MAGIC = 0x4b400000;
    float c = x < -105.0f ? -105.0f : x;
    float shifted = c * 1.44269504f + 12582912.0f;
    int32_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    bits = bits > MAGIC + 128 ? MAGIC + 128 : bits;
    memcpy(&shifted, &bits, sizeof bits);
    float n = shifted - 12582912.0f;
    float r = c - n * 0.693359375f;
    r = r + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    int32_t exponent = bits - (MAGIC - 127); /* 255: infinite */
    uint32_t scaled = (uint32_t)(exponent < 0 ? 0 : exponent) << 23;
    float scale;
    memcpy(&scale, &scaled, sizeof scale);
    return p * scale;
}

static inline mo_real mo_ln(mo_real x)
{
    bool small = x < 0x1p-126f; /* no full mantissa */
    float full = small ? x * 0x1p23f : x;
    uint32_t bits;
    memcpy(&bits, &full, sizeof bits);
    uint32_t shifted = bits + (0x3f800000u - 0x3f3504f3u); /* the bits of 1 and of sqrt 1/2 */
    float n = (float)((int32_t)(shifted >> 23) - (small ? 150 : 127));
    bits -= (shifted & 0xff800000u) - 0x3f800000u;
    float f;
    memcpy(&f, &bits, sizeof f);
    f -= 1.0f;
    float p = 7.0376836292e-2f;
    p = p * f - 1.1514610310e-1f;
    p = p * f + 1.1676998740e-1f;
    p = p * f - 1.2420140846e-1f;
    p = p * f + 1.4249322787e-1f;
    p = p * f - 1.6668057665e-1f;
    p = p * f + 2.0000714765e-1f;
    p = p * f - 2.4999993993e-1f;
    p = p * f + 3.3333331174e-1f;
    p = p * f * f * f - n * 2.12194440e-4f - 0.5f * f * f;
    float y = p + f + n * 0.693359375f;
    y = x < (float)INFINITY ? y : x;
    return x > 0.0f ? y : x == 0.0f ? -(float)INFINITY : (float)NAN;
}

static inline mo_real mo_normal_cdf(mo_real x)
{
    float a = fabsf(x), t = 1.0f / (1.0f + 0.3f * a);
    float p = 0.03567479232f;
    p = p * t - 0.1572031576f;
    p = p * t + 0.2063536334f;
    p = p * t - 0.05368375889f;
    p = p * t + 0.1285616857f;
    p = p * t + 0.09991347488f;
    p = p * t + 0.1207539587f;
    p = p * t + 0.1196292987f;
    float tail = p * t * mo_exp(-0.5f * a * a);
    return x > 0.0f ? 1.0f - tail : tail;
}

#endif

static inline mo_real mo_sigmoid(mo_real x)
{
    return MO_C(1) / (MO_C(1) + mo_exp(-x));
}

static inline mo_real mo_normal_pdf(mo_real x)
{
    return MO_C(0.398942280401432678) * mo_exp(MO_C(-0.5) * x * x);
}

/* max_i x_i; n >= 1. Eight lanes, because many rows are of eight experts. */
static inline mo_real mo_row_max(const mo_real *x, int64_t n)
{
    mo_real m = x[0];
#pragma omp simd simdlen(8) reduction(max : m)
    for (int64_t i = 0; i < n; i++) m = x[i] > m ? x[i] : m;
    return m;
}

static inline mo_real mo_row_dot(const mo_real *a, const mo_real *b, int64_t n)
{
    mo_real sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

#endif
