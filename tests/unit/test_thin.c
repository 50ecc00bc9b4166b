/* test_thin.c -- products of a few rows against sums in double; their bits, alone and together.
 *
 * A sum of K products in working precision differs from the exact one by at most gamma_K = K u / (1 - K u)
 * times the sum of the products' sizes, whatever its order (Higham 2002, section 4.2). */
#include "tensor/thin.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/harness.h"

enum { MOST_ROWS = 19, GAP = 3 };

static const mo_dtype dtypes[] = {MO_REAL, MO_F32, MO_BF16, MO_F16};

typedef struct problem {
    mo_dtype dtype;
    int64_t M, N, K, ldx, ldw, ldy;
    mo_real *x, *y;
    mo_real *W;           /* the numbers that the file holds, [N, K] */
    unsigned char *store; /* the file, at an odd address where it is one */
    void *file;
} problem;

static mo_real *values(uint32_t stream, int64_t count)
{
    mo_real *x = malloc((size_t)(count ? count : 1) * sizeof *x);
    assert_non_null(x);
    for (int64_t i = 0; i < count; i++)
        x[i] = (mo_real)(2 * mo_rng_uniform(5, MO_RNG_TEST, 0, stream, (uint64_t)i) - 1);
    return x;
}

static problem make(mo_dtype dtype, int64_t M, int64_t N, int64_t K)
{
    problem p = {.dtype = dtype, .M = M, .N = N, .K = K, .ldx = K + GAP, .ldw = K + GAP, .ldy = N + GAP};
    size_t size = mo_dtype_size(dtype);
    p.x = values(1, M * p.ldx);
    p.y = values(2, M * p.ldy);
    p.W = values(3, N * K);
    p.file = malloc((size_t)(N * p.ldw) * size + 1);
    assert_non_null(p.file);
    p.store = (unsigned char *)p.file + (dtype != MO_REAL);
    memset(p.store, 0xff, (size_t)(N * p.ldw) * size); /* NaN between the rows */
    for (int64_t n = 0; n < N; n++) {
        unsigned char *row = p.store + (size_t)(n * p.ldw) * size;
        if (dtype == MO_REAL) {
            memcpy(row, p.W + n * K, (size_t)K * size);
            continue;
        }
        const void *part = row;
        mo_narrow(dtype, p.W + n * K, K, row);
        mo_stored_expand(&(mo_stored){dtype, 1, K, &part}, 0, 0, K, p.W + n * K);
    }
    return p;
}

static void drop(problem *p)
{
    free(p->x);
    free(p->y);
    free(p->W);
    free(p->file);
}

static void check(const problem *p, mo_real alpha, mo_real beta, const mo_real *y)
{
    double u = sizeof(mo_real) == sizeof(double) ? DBL_EPSILON / 2 : (double)FLT_EPSILON / 2;
    double n = (double)(p->K + 4) * u, gamma = n / (1 - n);
    for (int64_t i = 0; i < p->M; i++)
        for (int64_t j = 0; j < p->N; j++) {
            double sum = 0, size = 0, old = (double)beta * (double)p->y[i * p->ldy + j];
            for (int64_t k = 0; k < p->K; k++) {
                double term = (double)alpha * (double)p->x[i * p->ldx + k] * (double)p->W[j * p->K + k];
                sum += term;
                size += fabs(term);
            }
            double got = (double)y[i * p->ldy + j], want = sum + old;
            if (!(fabs(got - want) <= 2 * gamma * (size + fabs(old))))
                fail_msg("%s [%lld, %lld, %lld]: y[%lld, %lld] is %.9g, not %.9g", mo_dtype_name(p->dtype),
                         (long long)p->M, (long long)p->N, (long long)p->K, (long long)i, (long long)j, got,
                         want);
        }
    for (int64_t i = 0; i < p->M; i++)
        assert_memory_equal(y + i * p->ldy + p->N, p->y + i * p->ldy + p->N, GAP * sizeof *y);
}

static mo_real *copy_of(const problem *p, mo_real beta)
{
    mo_real *y = malloc((size_t)(p->M * p->ldy) * sizeof *y);
    assert_non_null(y);
    memcpy(y, p->y, (size_t)(p->M * p->ldy) * sizeof *y);
    for (int64_t i = 0; beta == MO_C(0) && i < p->M; i++)
        for (int64_t j = 0; j < p->N; j++) y[i * p->ldy + j] = (mo_real)NAN; /* is not read */
    return y;
}

static void check_product(const problem *p, mo_real alpha, mo_real beta)
{
    mo_real *one = copy_of(p, beta), *row = copy_of(p, beta);
    mo__thin_nt(p->M, p->N, p->K, alpha, p->x, p->ldx, p->dtype, p->store, p->ldw, beta, one, p->ldy);
    check(p, alpha, beta, one);
    /* Each row of x by itself: the same bits. */
    for (int64_t i = 0; i < p->M; i++)
        mo__thin_nt(1, p->N, p->K, alpha, p->x + i * p->ldx, p->ldx, p->dtype, p->store, p->ldw, beta,
                    row + i * p->ldy, p->ldy);
    assert_memory_equal(one, row, (size_t)(p->M * p->ldy) * sizeof *one);
    free(one);
    free(row);
}

static void test_products(void **state)
{
    (void)state;
    static const int64_t shapes[][2] = {{1, 1}, {2, 31}, {5, 32}, {7, 33}, {13, 70}, {33, 257}, {3, 0}};
    for (int d = 0; d < 4; d++)
        for (int64_t M = 0; M <= MOST_ROWS; M++)
            for (int s = 0; s < 7; s++) {
                problem p = make(dtypes[d], M, shapes[s][0], shapes[s][1]);
                check_product(&p, 1, 0);
                if (M < 6) check_product(&p, MO_C(0.25), MO_C(-0.5));
                drop(&p);
            }
}

/* By any number of threads, through the gate. */
static void test_threads(void **state)
{
    (void)state;
    int before = mo_threads();
    problem p = make(MO_REAL, 3, 611, 301);
    mo_real *want = copy_of(&p, 0), *got = copy_of(&p, 0);
    mo__thin_nt(p.M, p.N, p.K, 1, p.x, p.ldx, p.dtype, p.store, p.ldw, 0, want, p.ldy);
    for (int threads = 1; threads <= 5; threads += 2) {
        mo_threads_set(threads);
        mo_gemm(false, true, p.M, p.N, p.K, 1, p.x, p.ldx, (const mo_real *)p.file, p.ldw, 0, got, p.ldy);
        assert_memory_equal(got, want, (size_t)(p.M * p.ldy) * sizeof *got);
    }
    free(want);
    free(got);
    drop(&p);
    mo_threads_set(before);
}

/* Values that float16 and bfloat16 hold beside the usual ones. */
static void test_special(void **state)
{
    (void)state;
    static const mo_real special[] = {(mo_real)0,   (mo_real)-0.0,     (mo_real)0x1p-24,   (mo_real)-0x1p-20,
                                      (mo_real)512, (mo_real)INFINITY, (mo_real)-INFINITY, (mo_real)NAN};
    for (int d = 0; d < 4; d++)
        for (int s = 0; s < 8; s++) {
            unsigned char stored[40 * sizeof(mo_real)];
            mo_real w[40], x[40], y = 7;
            for (int k = 0; k < 40; k++) {
                w[k] = k == 21 ? special[s] : 0;
                x[k] = 1;
            }
            if (dtypes[d] == MO_REAL)
                memcpy(stored, w, sizeof w);
            else
                mo_narrow(dtypes[d], w, 40, stored);
            mo__thin_nt(1, 1, 40, 1, x, 40, dtypes[d], stored, 40, 0, &y, 1);
            if (isnan(special[s]) ? !isnan(y) : y != special[s])
                fail_msg("%s: %g comes as %g", mo_dtype_name(dtypes[d]), (double)special[s], (double)y);
        }
}

/* ---- by all threads ---- */

static void *check_copy(const mo_real *x, size_t size)
{
    void *copy = malloc(size);
    assert_non_null(copy);
    return memcpy(copy, x, size);
}

/* Experts with a row, several and none: each as by itself. */
static void test_groups(void **state)
{
    (void)state;
    enum { E = 6, O = 450, I = 130 };
    static const int32_t offsets[E + 1] = {0, 1, 1, 9, 11, 11, 27};
    const size_t size = sizeof(mo_real) * (size_t)(offsets[E] * O);
    int before = mo_threads();
    mo_real *W = values(7, E * O * I), *X = values(8, offsets[E] * I), *Y = values(9, offsets[E] * O);
    mo_real *want = check_copy(Y, size);
    for (int e = 0; e < E; e++)
        mo__thin_nt(offsets[e + 1] - offsets[e], O, I, 1, X + offsets[e] * I, I, MO_REAL, W + e * O * I, I,
                    MO_C(0.5), want + offsets[e] * O, O);
    for (int threads = 1; threads <= 5; threads += 2) {
        mo_real *got = check_copy(Y, size);
        mo_threads_set(threads);
        mo_gemm_grouped(MO_GROUP_NT, E, offsets, O, I, X, got, W, MO_C(0.5));
        assert_memory_equal(got, want, size);
        mo_gemm_grouped(MO_GROUP_NT, E, (int32_t[E + 1]){0}, O, I, X, got, W, 0); /* no rows at all */
        assert_memory_equal(got, want, size);
        free(got);
    }
    mo_threads_set(before);
    free(W);
    free(X);
    free(Y);
    free(want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_products),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_special),
        cmocka_unit_test(test_groups),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
