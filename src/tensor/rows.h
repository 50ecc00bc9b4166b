/* rows.h -- elementwise maths that compilers vectorise inside `omp simd` loops. The double build uses libm.
 *
 * mo_exp in float: exp(x) = 2^n exp(r), n = rint(x log2 e), r = x - n ln 2 in two parts (Cody & Waite),
 * exp(r) by the degree-6 polynomial of Cephes' expf; error below 2 ulp on [-87, 88], 0 below, saturated
 * above. SLEEF's sleef_expf16 gives the same accuracy but needs one call per instruction set. */
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
static inline mo_real mo_erf(mo_real x)
{
    return erf(x);
}

#else

static inline mo_real mo_sqrt(mo_real x)
{
    return sqrtf(x);
}
static inline mo_real mo_ln(mo_real x)
{
    return logf(x);
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
    float c = x < -87.0f ? -87.0f : x;
    c = c > 88.0f ? 88.0f : c;
    float n = rintf(c * 1.44269504f);
    float r = c - n * 0.693359375f;
    r = r + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    int32_t bits = ((int32_t)n + 127) * (1 << 23);
    float scale;
    memcpy(&scale, &bits, sizeof scale);
    return x < -87.0f ? 0.0f : p * scale;
}

/* Abramowitz & Stegun 7.1.26; absolute error below 2e-7. */
static inline mo_real mo_erf(mo_real x)
{
    float a = fabsf(x), t = 1.0f / (1.0f + 0.3275911f * a);
    float p = 1.061405429f;
    p = p * t - 1.453152027f;
    p = p * t + 1.421413741f;
    p = p * t - 0.284496736f;
    p = p * t + 0.254829592f;
    float y = 1.0f - p * t * mo_exp(-a * a);
    return x < 0.0f ? -y : y;
}

#endif

static inline mo_real mo_sigmoid(mo_real x)
{
    return MO_C(1) / (MO_C(1) + mo_exp(-x));
}

/* max_i x_i; n >= 1. */
static inline mo_real mo_row_max(const mo_real *x, int64_t n)
{
    mo_real m = x[0];
#pragma omp simd reduction(max : m)
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
