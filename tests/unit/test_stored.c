/* test_stored.c -- numbers as files hold them: expanding and rounding, over all 65,536 patterns of 16 bits;
 * and stored weights in a graph. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/harness.h"
#include "moira/ops.h"

enum { PATTERNS = 1 << 16 };

/* The number by its definition, sign * 2^(e - bias) * (1 + m / 2^bits), in a type that holds all of them. */
static double defined(mo_dtype dtype, uint32_t h)
{
    int bits = dtype == MO_BF16 ? 7 : 10, bias = dtype == MO_BF16 ? 127 : 15;
    uint32_t e = (h & 0x7fff) >> bits, m = h & ((1u << bits) - 1), top = 0x7fffu >> bits;
    double sign = h >> 15 ? -1 : 1;
    if (e == top) return m ? (double)NAN : sign * (double)INFINITY;
    if (e == 0) return sign * ldexp(m, 1 - bias - bits);
    return sign * ldexp(1 + ldexp(m, -bits), (int)e - bias);
}

/* At an odd address, with a guard behind. */
static mo_real *expand_all(mo_dtype dtype)
{
    unsigned char *file = malloc(1 + 2 * PATTERNS);
    mo_real *x = malloc((PATTERNS + 1) * sizeof *x);
    assert_true(file && x);
    for (uint32_t h = 0; h < PATTERNS; h++) {
        file[1 + 2 * h] = (unsigned char)h;
        file[2 + 2 * h] = (unsigned char)(h >> 8);
    }
    const void *part = file + 1;
    x[PATTERNS] = MO_C(1234.5);
    mo_stored_expand(&(mo_stored){dtype, 1, PATTERNS, &part}, 0, 0, PATTERNS, x);
    assert_true(x[PATTERNS] == MO_C(1234.5));
    free(file);
    return x;
}

static void test_expand(void **state)
{
    (void)state;
    for (int d = 0; d < 2; d++) {
        mo_dtype dtype = d ? MO_F16 : MO_BF16;
        mo_real *x = expand_all(dtype);
        for (uint32_t h = 0; h < PATTERNS; h++) {
            double want = defined(dtype, h), got = (double)x[h];
            bool same = isnan(want) ? isnan(got) : got == want;
            if (!same || (!isnan(got) && !signbit(got) != !signbit(want)))
                fail_msg("%s %04x: %.9g, not %.9g", mo_dtype_name(dtype), h, got, want);
        }
        free(x);
    }
}

/* There and back: the same bits; a NaN stays one, whatever its payload, and keeps its sign. */
static void test_back(void **state)
{
    (void)state;
    for (int d = 0; d < 2; d++) {
        mo_dtype dtype = d ? MO_F16 : MO_BF16;
        mo_real *x = expand_all(dtype);
        unsigned char *file = malloc(2 + 2 * PATTERNS);
        assert_non_null(file);
        file[0] = file[1 + 2 * PATTERNS] = 0xa5;
        mo_narrow(dtype, x, PATTERNS, file + 1);
        assert_true(file[0] == 0xa5 && file[1 + 2 * PATTERNS] == 0xa5);
        for (uint32_t h = 0; h < PATTERNS; h++) {
            uint32_t got = file[1 + 2 * h] | (uint32_t)file[2 + 2 * h] << 8;
            bool ok = isnan(x[h]) ? isnan(defined(dtype, got)) && got >> 15 == h >> 15 : got == h;
            if (!ok) fail_msg("%s %04x comes back as %04x", mo_dtype_name(dtype), h, got);
        }
        free(x);
        free(file);
    }
}

static uint32_t narrow_one(mo_dtype dtype, mo_real x)
{
    uint16_t h;
    mo_narrow(dtype, &x, 1, &h);
    return h;
}

static mo_real next_to(mo_real x, bool up)
{
    mo_real far = up ? MO_C(INFINITY) : -MO_C(INFINITY);
    return sizeof(mo_real) == sizeof(double) ? (mo_real)nextafter((double)x, (double)far)
                                             : (mo_real)nextafterf((float)x, (float)far);
}

static void check_rounding(mo_dtype dtype, mo_real x, uint32_t want)
{
    for (uint32_t sign = 0; sign < 2; sign++) {
        uint32_t got = narrow_one(dtype, sign ? -x : x);
        if (got != (want | sign << 15))
            fail_msg("%.17g becomes %s %04x, not %04x", sign ? -(double)x : (double)x, mo_dtype_name(dtype),
                     got, want | sign << 15);
    }
}

/* Between any two neighbours, denormals too: halfway goes to the even one, the next mo_real on either side
 * (in double, far closer than any float) to the nearer. The last: from halfway past the largest on, infinity.
 */
static void test_rounding(void **state)
{
    (void)state;
    for (int d = 0; d < 2; d++) {
        mo_dtype dtype = d ? MO_F16 : MO_BF16;
        uint32_t infinite = d ? 0x7c00 : 0x7f80;
        for (uint32_t h = 0; h < infinite; h++) {
            double low = defined(dtype, h), high = defined(dtype, h + 1);
            if (h + 1 == infinite) high = low + (low - defined(dtype, h - 1));
            mo_real middle = (mo_real)(low + (high - low) / 2);
            check_rounding(dtype, middle, h & 1 ? h + 1 : h);
            check_rounding(dtype, next_to(middle, false), h);
            check_rounding(dtype, next_to(middle, true), h + 1);
        }
        check_rounding(dtype, MO_C(INFINITY), infinite);
        check_rounding(dtype, MO_C(3.4028234663852886e38), infinite);
    }
}

/* float32 is the way through for mo_real, or a rounding of it; parts and elements are counted from `first`.
 */
static void test_float32_and_places(void **state)
{
    (void)state;
    enum { N = 37 };
    mo_real x[N], y[5];
    unsigned char file[2][1 + 4 * N];
    for (int p = 0; p < 2; p++) {
        for (int i = 0; i < N; i++) x[i] = (mo_real)(p * 1000 + i) + MO_C(0.1);
        mo_narrow(MO_F32, x, N, file[p] + 1);
    }
    const void *part[] = {file[1] + 1, file[0] + 1};
    mo_stored_expand(&(mo_stored){MO_F32, 2, N, part}, 1, 30, 5, y);
    for (int i = 0; i < 5; i++) assert_true(y[i] == (mo_real)(float)((mo_real)(30 + i) + MO_C(0.1)));
    mo_stored_expand(&(mo_stored){MO_F32, 2, N, part}, 0, 0, 1, y);
    assert_true(y[0] == (mo_real)(float)(MO_C(1000) + MO_C(0.1)));
}

/* ---- in a graph ---- */

static const void *no_part[3];

static mo_tensor *stored_param(mo_graph *g, const mo_stored *s, int ndim, const int64_t *dim)
{
    return mo_graph_param_stored(g, "w", ndim, dim, s);
}

/* What takes a weight from a file takes it in that place alone; all else refuses, by one rule. */
static void test_refused(void **state)
{
    (void)state;
    static const mo_stored square = {MO_BF16, 1, 16, no_part}, row = {MO_F16, 1, 4, no_part};
    for (int which = 0; which < 4; which++) {
        mo_graph *g;
        MO_CHECK_OK(mo_graph_create(&g));
        mo_tensor *x = mo_graph_input(g, "x", MO_REAL, 2, (int64_t[]){4, 4}, true);
        mo_tensor *w = stored_param(g, &square, 2, (int64_t[]){4, 4});
        mo_tensor *line = stored_param(g, &row, 1, (int64_t[]){4});
        mo_tensor *y = which == 0   ? mo_linear(g, w, x)
                       : which == 1 ? mo_add(g, x, w)
                       : which == 2 ? mo_rmsnorm(g, x, line, 1e-5)
                                    : mo_linear(g, x, w);
        if (which == 3) {
            MO_CHECK_OK(mo_graph_status(g));
            assert_true(y && !w->needs_grad && y->needs_grad);
            assert_int_equal(mo_tensor_bytes(w), 32);
        } else {
            assert_null(y);
            MO_CHECK_STATUS(mo_graph_status(g), MO_E_SHAPE);
            MO_CHECK_MESSAGE(which == 0   ? "linear: w stays in its file as bfloat16"
                             : which == 1 ? "add: w stays"
                                          : "rmsnorm: w stays in its file as float16");
        }
        mo_graph_free(g);
    }
}

/* Parts must make the shape up, of whole matrices. */
static void test_parts(void **state)
{
    (void)state;
    static const mo_stored good[] = {{MO_BF16, 3, 20, no_part}, {MO_BF16, 1, 60, no_part}};
    static const mo_stored bad[] = {
        {MO_BF16, 2, 20, no_part}, {MO_BF16, 6, 10, no_part}, {MO_BF16, 3, 60, no_part}};
    for (int i = 0; i < 5; i++) {
        mo_graph *g;
        MO_CHECK_OK(mo_graph_create(&g));
        mo_tensor *w = stored_param(g, i < 2 ? &good[i] : &bad[i - 2], 3, (int64_t[]){3, 4, 5});
        assert_int_equal(w != NULL, i < 2);
        if (i >= 2) {
            MO_CHECK_STATUS(mo_graph_status(g), MO_E_SHAPE);
            MO_CHECK_MESSAGE("do not make 60");
        }
        mo_graph_free(g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_expand),   cmocka_unit_test(test_back),
        cmocka_unit_test(test_rounding), cmocka_unit_test(test_float32_and_places),
        cmocka_unit_test(test_refused),  cmocka_unit_test(test_parts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
