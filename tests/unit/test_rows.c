/* test_rows.c -- the elementwise maths of tensor/rows.h against libm in double. */
#include "tensor/rows.h"

#include <float.h>

#include "harness/harness.h"

/* Through arrays and a simd loop, as kernels call them: the vectorised code is what is tested. */
enum { BATCH = 4096 };
static mo_real in[BATCH], out[BATCH];

static void run_exp(int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) out[i] = mo_exp(in[i]);
}

static void run_ln(int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) out[i] = mo_ln(in[i]);
}

static void run_cdf(int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) out[i] = mo_normal_cdf(in[i]);
}

/* Error in units of the last place of a float near `want`. */
static double ulps(double got, double want)
{
    int exponent;
    frexp(want, &exponent);
    return fabs(got - want) / ldexp(1, (exponent > -125 ? exponent : -125) - FLT_MANT_DIG);
}

/* Every 11th float of both signs from 2^-31 up to the ends of [-87, 88.3]. */
static void test_exp(void **state)
{
    (void)state;
    double worst = 0;
    uint32_t bits = 0x30000000, last = 0x42b10000;
    while (bits < last) {
        int64_t n = 0;
        for (; n + 2 <= BATCH && bits < last; bits += 11) {
            float x;
            memcpy(&x, &bits, sizeof x);
            if (x <= 88.3f) in[n++] = (mo_real)x;
            if (x <= 87.0f) in[n++] = (mo_real)-x;
        }
        run_exp(n);
        for (int64_t i = 0; i < n; i++) {
            double error = ulps((double)out[i], exp((double)in[i]));
            if (!(error <= worst)) worst = error;
        }
    }
    if (!(worst <= 2)) fail_msg("exp is off by %.2f ulp", worst);
}

static void test_exp_ends(void **state)
{
    (void)state;
    static const double ends[] = {
        0, -87, -88, -1e30, -(double)INFINITY, 88.3, 89, 1e30, (double)INFINITY, (double)NAN};
    for (int i = 0; i < 10; i++) in[i] = (mo_real)ends[i];
    run_exp(10);
    assert_true(out[0] == 1);
    assert_true(out[1] > 0 && (double)out[2] <= 1e-37 && out[3] == 0 && out[4] == 0);
    assert_true(out[5] > (mo_real)2e38 && (double)out[6] > 4e38);
    assert_true(isinf(out[7]) && isinf(out[8]) && isnan(out[9]));
}

/* Every 997th positive float, and all of those around 1. */
static void test_ln(void **state)
{
    (void)state;
    double worst = 0;
    for (uint32_t bits = 1, step; bits < 0x7f800000; bits += step * BATCH) {
        step = bits > 0x3f000000 && bits < 0x3fc00000 ? 1 : 997;
        int64_t n = 0;
        for (; n < BATCH && bits + (uint32_t)n * step < 0x7f800000; n++) {
            uint32_t at = bits + (uint32_t)n * step;
            float x;
            memcpy(&x, &at, sizeof x);
            in[n] = (mo_real)x;
        }
        run_ln(n);
        for (int64_t i = 0; i < n; i++) {
            double error = ulps((double)out[i], log((double)in[i]));
            if (!(error <= worst)) worst = error;
        }
    }
    if (!(worst <= 1)) fail_msg("ln is off by %.2f ulp", worst);
}

static void test_ln_ends(void **state)
{
    (void)state;
    static const double ends[] = {1, 0, -0.0, -1, (double)INFINITY, -(double)INFINITY, (double)NAN};
    for (int i = 0; i < 7; i++) in[i] = (mo_real)ends[i];
    run_ln(7);
    assert_true(out[0] == 0 && out[1] == -(mo_real)INFINITY && out[2] == -(mo_real)INFINITY);
    assert_true(isnan(out[3]) && out[4] == (mo_real)INFINITY && isnan(out[5]) && isnan(out[6]));
}

/* Absolute error below 3e-7 everywhere, relative below 1e-6 down to Phi(-5) = 2.9e-7. */
static void test_normal_cdf(void **state)
{
    (void)state;
    double absolute = 0, relative = 0;
    for (int64_t first = -13 * BATCH; first < 13 * BATCH; first += BATCH) {
        for (int64_t i = 0; i < BATCH; i++) in[i] = (mo_real)(first + i) / BATCH;
        run_cdf(BATCH);
        for (int64_t i = 0; i < BATCH; i++) {
            double want = 0.5 * erfc(-(double)in[i] / sqrt(2)), error = fabs((double)out[i] - want);
            if (!(error <= absolute)) absolute = error;
            if (in[i] >= -5 && !(error <= relative * want)) relative = error / want;
        }
    }
    if (!(absolute <= 3e-7)) fail_msg("absolute error %.3g", absolute);
    if (!(relative <= 1e-6)) fail_msg("relative error %.3g", relative);
    assert_true(mo_normal_cdf(MO_C(-INFINITY)) == 0 && mo_normal_cdf(MO_C(INFINITY)) == 1);
    assert_true(isnan(mo_normal_cdf(MO_C(NAN))));
}

static void test_sigmoid_and_pdf(void **state)
{
    (void)state;
    for (int i = -1000; i <= 1000; i++) {
        mo_real x = (mo_real)i / MO_C(8);
        MO_CHECK_NEAR((double)mo_sigmoid(x), 1 / (1 + exp(-(double)x)), 2e-7);
        MO_CHECK_NEAR((double)mo_normal_pdf(x), exp(-0.5 * (double)x * (double)x) / sqrt(2 * acos(-1.0)),
                      1e-7);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exp),        cmocka_unit_test(test_exp_ends),
        cmocka_unit_test(test_ln),         cmocka_unit_test(test_ln_ends),
        cmocka_unit_test(test_normal_cdf), cmocka_unit_test(test_sigmoid_and_pdf)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
