/* test_gemm.c -- matrix products, whole and grouped, against sums in long double.
 *
 * The bound: a sum of K products in working precision, in any order and with or without fused multiply-add,
 * is off by at most g_K sum_k |a_k b_k|, g_K = K u / (1 - K u), u = epsilon / 2 (Higham 2002, section 3.1);
 * alpha, beta C and their sum add three roundings. */
#include "moira/tensor.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/harness.h"

#define U (sizeof(mo_real) == sizeof(double) ? DBL_EPSILON / 2 : (double)FLT_EPSILON / 2)

static double gamma_of(int64_t roundings)
{
    double n = (double)roundings * U;
    return n / (1 - n);
}

static void *room(int64_t count, size_t size)
{
    void *memory = calloc((size_t)count + 1, size);
    if (!memory) fail_msg("out of memory");
    return memory;
}

static double value(uint32_t stream, int64_t i)
{
    return 2 * mo_rng_uniform(7, MO_RNG_TEST, 0, stream, (uint64_t)i) - 1;
}

static mo_real *values(uint32_t stream, int64_t count)
{
    mo_real *x = room(count, sizeof *x);
    for (int64_t i = 0; i < count; i++) x[i] = (mo_real)value(stream, i);
    return x;
}

enum { GAP = 3 }; /* at most, after each stored row */

/* sum_k a_ik b_kj of a [M, K] and b [K, N], and the sum of its absolute values; what C holds before. */
typedef struct {
    int64_t M, N, K;
    mo_real *a, *b, *c;
    double *product, *size;
} problem;

static problem problem_make(int64_t M, int64_t N, int64_t K)
{
    problem p = {M,
                 N,
                 K,
                 values(1, M * K),
                 values(2, K * N),
                 values(3, M * (N + GAP)),
                 room(M * N, sizeof(double)),
                 room(M * N, sizeof(double))};
    for (int64_t i = 0; i < M; i++)
        for (int64_t j = 0; j < N; j++) {
            long double sum = 0, size = 0;
            for (int64_t k = 0; k < K; k++) {
                long double term = (long double)p.a[i * K + k] * (long double)p.b[k * N + j];
                sum += term;
                size += fabsl(term);
            }
            p.product[i * N + j] = (double)sum;
            p.size[i * N + j] = (double)size;
        }
    return p;
}

static void problem_free(problem *p)
{
    free(p->a);
    free(p->b);
    free(p->c);
    free(p->product);
    free(p->size);
}

/* x [rows, columns], transposed or not, with `gap` NaNs after each stored row. */
static mo_real *stored(const mo_real *x, int64_t rows, int64_t columns, bool trans, int64_t gap, int64_t *ld)
{
    int64_t outer = trans ? columns : rows, inner = trans ? rows : columns;
    *ld = inner + gap;
    mo_real *s = room(outer * *ld, sizeof *s);
    for (int64_t i = 0; i < outer * *ld; i++) s[i] = MO_C(NAN);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++) s[trans ? j * *ld + i : i * *ld + j] = x[i * columns + j];
    return s;
}

typedef void product_fn(bool trans_a, bool trans_b, int64_t M, int64_t N, int64_t K, mo_real alpha,
                        const mo_real *A, int64_t lda, const mo_real *B, int64_t ldb, mo_real beta,
                        mo_real *C, int64_t ldc);

static void check_element(const problem *p, int64_t i, int64_t j, double got, double alpha, double beta,
                          double c, const char *what)
{
    double want = alpha * p->product[i * p->N + j] + beta * c;
    double size = fabs(alpha) * p->size[i * p->N + j] + fabs(beta * c);
    if (!(fabs(got - want) <= gamma_of(p->K + 3) * size))
        fail_msg("%s, [%lld, %lld] x %lld, alpha %g, beta %g: c[%lld, %lld] is %.9g, not %.9g", what,
                 (long long)p->M, (long long)p->N, (long long)p->K, alpha, beta, (long long)i, (long long)j,
                 got, want);
}

static void check_product(const problem *p, product_fn *product, int form, mo_real alpha, mo_real beta,
                          int64_t gap)
{
    static const char *const names[] = {"A B", "A B'", "A' B", "A' B'"};
    int64_t lda, ldb, ldc = p->N + gap;
    bool trans_a = form & 2, trans_b = form & 1;
    mo_real *A = stored(p->a, p->M, p->K, trans_a, gap, &lda);
    mo_real *B = stored(p->b, p->K, p->N, trans_b, gap, &ldb);
    mo_real *C = room(p->M * ldc, sizeof *C);
    memcpy(C, p->c, (size_t)(p->M * ldc) * sizeof *C);
    for (int64_t i = 0; beta == MO_C(0) && i < p->M * ldc; i++)
        if (i % ldc < p->N) C[i] = MO_C(NAN);
    product(trans_a, trans_b, p->M, p->N, p->K, alpha, A, lda, B, ldb, beta, C, ldc);
    for (int64_t i = 0; i < p->M; i++) {
        for (int64_t j = 0; j < p->N; j++) {
            int64_t at = i * ldc + j;
            double c = beta == MO_C(0) ? 0 : (double)p->c[at];
            check_element(p, i, j, (double)C[at], (double)alpha, (double)beta, c, names[form]);
        }
        for (int64_t j = p->N; j < ldc; j++) assert_true(C[i * ldc + j] == p->c[i * ldc + j]);
    }
    free(A);
    free(B);
    free(C);
}

static const int64_t shapes[][3] = {{1, 1, 1},    {1, 300, 65},   {300, 1, 17}, {1, 1, 500},  {2, 3, 4},
                                    {8, 140, 33}, {9, 140, 33},   {7, 5, 0},    {16, 16, 16}, {129, 130, 3},
                                    {63, 64, 65}, {257, 513, 12}, {5, 1030, 9}, {530, 17, 40}};
enum { SHAPES = sizeof shapes / sizeof *shapes };

static int setup(void **state)
{
    (void)state;
    return mo_blas_init() == MO_OK ? 0 : -1;
}

/* All forms, scales and leading dimensions; the thin path has M <= 8; beta 0 over NaN; K = 0. */
static void test_product(void **state)
{
    (void)state;
    static const mo_real alphas[] = {MO_C(1), MO_C(-0.625)}, betas[] = {MO_C(0), MO_C(1), MO_C(-0.3)};
    for (int s = 0; s < SHAPES; s++) {
        problem p = problem_make(shapes[s][0], shapes[s][1], shapes[s][2]);
        for (int form = 0; form < 4; form++)
            for (int a = 0; a < 2; a++)
                for (int b = 0; b < 3; b++) {
                    check_product(&p, mo_gemm, form, alphas[a], betas[b], 0);
                    check_product(&p, mo_gemm, form, alphas[a], betas[b], GAP);
                    check_product(&p, mo_gemm_tile, form, alphas[a], betas[b], 1);
                }
        problem_free(&p);
    }
}

/* Nothing to compute: C is not touched. */
static void test_nothing(void **state)
{
    (void)state;
    mo_real x[4] = {1, 2, 3, 4}, c[2] = {5, 6};
    mo_gemm(false, false, 0, 2, 2, 1, x, 2, x, 2, 0, c, 2);
    mo_gemm(false, false, 2, 0, 2, 1, x, 2, x, 2, 0, c, 1);
    mo_gemm_tile(true, true, 0, 0, 2, 1, x, 2, x, 2, 0, c, 1);
    assert_true(c[0] == 5 && c[1] == 6);
}

/* A NaN or an infinity in A or B reaches the elements that depend on it, and no other. */
static void test_not_finite(void **state)
{
    (void)state;
    enum { M = 40, N = 30, K = 20 };
    for (int form = 0; form < 4; form++) {
        problem p = problem_make(M, N, K);
        int64_t lda, ldb;
        p.a[3 * K + 5] = MO_C(NAN);
        p.b[7 * N + 11] = MO_C(INFINITY);
        mo_real *A = stored(p.a, M, K, form & 2, 0, &lda), *B = stored(p.b, K, N, form & 1, 0, &ldb);
        mo_real C[M * N];
        mo_gemm(form & 2, form & 1, M, N, K, 1, A, lda, B, ldb, 0, C, N);
        for (int i = 0; i < M; i++)
            for (int j = 0; j < N; j++) {
                bool clean = i != 3 && j != 11;
                assert_int_equal(isfinite(C[i * N + j]) != 0, clean);
                if (i == 3) assert_true(isnan(C[i * N + j]));
            }
        free(A);
        free(B);
        problem_free(&p);
    }
}

/* ---- the same bits for any number of threads, inside a parallel region and out ---- */

static void run(const problem *p, int form, mo_real *C)
{
    int64_t lda = form & 2 ? p->M : p->K, ldb = form & 1 ? p->K : p->N;
    mo_gemm(form & 2, form & 1, p->M, p->N, p->K, MO_C(0.7), p->a, lda, p->b, ldb, 0, C, p->N);
}

static void test_threads(void **state)
{
    (void)state;
    int threads = mo_threads();
    for (int s = 0; s < SHAPES; s++) {
        problem p = problem_make(shapes[s][0], shapes[s][1], shapes[s][2]);
        size_t size = (size_t)(p.M * p.N) * sizeof(mo_real);
        mo_real *first = room(p.M * p.N, sizeof *first), *again = room(p.M * p.N, sizeof *again);
        for (int form = 0; form < 4; form++) {
            mo_threads_set(1);
            run(&p, form, first);
            for (int n = 2; n <= 4; n *= 2) {
                mo_threads_set(n);
                run(&p, form, again);
                assert_memory_equal(first, again, size);
            }
            mo_threads_set(threads);
        }
        free(first);
        free(again);
        problem_free(&p);
    }
}

static void test_inside_region(void **state)
{
    (void)state;
    enum { COPIES = 6 };
    problem p = problem_make(257, 300, 40);
    int64_t count = p.M * p.N;
    mo_real *want = room(count, sizeof *want), *got = room(COPIES * count, sizeof *got);
    for (int form = 0; form < 4; form++) {
        run(&p, form, want);
#pragma omp parallel for schedule(static) num_threads(3)
        for (int c = 0; c < COPIES; c++) run(&p, form, got + c * count);
        for (int c = 0; c < COPIES; c++)
            assert_memory_equal(got + c * count, want, (size_t)count * sizeof *got);
    }
    free(want);
    free(got);
    problem_free(&p);
}

/* ---- grouped ---- */

/* X [R, x], Y [R, y], W [E, O, I]; past the last expert's rows there are `SPARE` more. */
enum { SPARE = 3 };
typedef struct {
    mo_group_form form;
    int64_t E, O, I, R, x, y;
    const int32_t *offsets;
    mo_real *X, *Y, *W;
} group;

static group group_make(mo_group_form form, int64_t E, const int32_t *offsets, int64_t O, int64_t I)
{
    bool nt = form == MO_GROUP_NT;
    int64_t R = offsets[E] + SPARE, x = nt ? I : O, y = nt ? O : I;
    return (group){form, E, O, I, R, x, y, offsets, values(1, R * x), values(2, R * y), values(3, E * O * I)};
}

static void group_free(group *g)
{
    free(g->X);
    free(g->Y);
    free(g->W);
}

/* The result: W of TN, else Y. */
static mo_real *result_of(const group *g, int64_t *count)
{
    bool tn = g->form == MO_GROUP_TN;
    *count = tn ? g->E * g->O * g->I : g->offsets[g->E] * g->y;
    return tn ? g->W : g->Y;
}

/* Element i of the result from the operands: terms of a sum of K. */
static void reference(const group *g, int64_t i, double *sum, double *size, int64_t *K)
{
    bool tn = g->form == MO_GROUP_TN, nt = g->form == MO_GROUP_NT;
    int64_t row = i / g->y, column = i % g->y, e = 0;
    if (tn) e = i / (g->O * g->I);
    while (!tn && row >= g->offsets[e + 1]) e++;
    int64_t first = tn ? g->offsets[e] : 0;
    *K = tn ? g->offsets[e + 1] - first : g->x;
    long double s = 0, a = 0;
    for (int64_t k = 0; k < *K; k++) {
        const mo_real *x = tn   ? &g->X[(first + k) * g->O + i / g->I % g->O]
                           : nt ? &g->X[row * g->I + k]
                                : &g->X[row * g->O + k];
        const mo_real *w = tn   ? &g->Y[(first + k) * g->I + i % g->I]
                           : nt ? &g->W[(e * g->O + column) * g->I + k]
                                : &g->W[(e * g->O + k) * g->I + column];
        long double term = (long double)*x * (long double)*w;
        s += term;
        a += fabsl(term);
    }
    *sum = (double)s;
    *size = (double)a;
}

static void check_group(mo_group_form form, int64_t E, const int32_t *offsets, int64_t O, int64_t I,
                        mo_real beta)
{
    group g = group_make(form, E, offsets, O, I);
    int64_t count, K;
    mo_real *result = result_of(&g, &count), *old = room(count, sizeof *old);
    double sum, size;
    for (int64_t i = 0; i < count; i++) {
        if (beta == MO_C(0)) result[i] = MO_C(NAN);
        old[i] = result[i];
    }
    mo_gemm_grouped(form, E, offsets, O, I, g.X, g.Y, g.W, beta);
    for (int64_t i = 0; i < count; i++) {
        reference(&g, i, &sum, &size, &K);
        double c = beta == MO_C(0) ? 0 : (double)beta * (double)old[i];
        if (!(fabs((double)result[i] - (sum + c)) <= gamma_of(K + 3) * (size + fabs(c))))
            fail_msg("form %d, E %lld, O %lld, I %lld, beta %g: element %lld is %.9g, not %.9g", (int)form,
                     (long long)E, (long long)O, (long long)I, (double)beta, (long long)i, (double)result[i],
                     sum + c);
    }
    for (int64_t i = offsets[E] * g.y; i < g.R * g.y; i++) assert_true(g.Y[i] == (mo_real)value(2, i));
    free(old);
    group_free(&g);
}

static void check_forms(int64_t E, const int32_t *offsets, int64_t O, int64_t I)
{
    for (int form = MO_GROUP_NT; form <= MO_GROUP_TN; form++) {
        check_group((mo_group_form)form, E, offsets, O, I, 0);
        check_group((mo_group_form)form, E, offsets, O, I, 1);
    }
}

static const int32_t ragged[] = {0, 3, 3, 21, 321, 330}, all_to_one[] = {0, 0, 0, 270, 270},
                     ends_empty[] = {0, 0, 9, 9, 9}, alone[] = {0, 37}, nobody[] = {0, 0, 0};

static void test_grouped(void **state)
{
    (void)state;
    check_forms(5, ragged, 70, 33);
    check_forms(5, ragged, 1, 7);
    check_forms(4, all_to_one, 17, 65);
    check_forms(4, ends_empty, 5, 6);
    check_forms(1, alone, 530, 9);
    check_forms(1, alone, 9, 530);
    check_forms(2, nobody, 4, 5);
}

/* More experts than are sorted by their rows; 0 to 2 rows each. */
static void test_grouped_many(void **state)
{
    (void)state;
    enum { E = 1500 };
    int32_t offsets[E + 1] = {0};
    for (int e = 0; e < E; e++) offsets[e + 1] = offsets[e] + e % 3;
    check_forms(E, offsets, 3, 2);
}

static void test_grouped_threads(void **state)
{
    (void)state;
    int threads = mo_threads();
    for (int form = MO_GROUP_NT; form <= MO_GROUP_TN; form++) {
        mo_real *first = NULL;
        for (int n = 1; n <= 4; n *= 2) {
            group g = group_make((mo_group_form)form, 5, ragged, 270, 33);
            int64_t count;
            mo_real *result = result_of(&g, &count);
            mo_threads_set(n);
            mo_gemm_grouped(g.form, g.E, g.offsets, g.O, g.I, g.X, g.Y, g.W, 1);
            mo_threads_set(threads);
            if (!first) {
                first = room(count, sizeof *first);
                memcpy(first, result, (size_t)count * sizeof *first);
            }
            assert_memory_equal(first, result, (size_t)count * sizeof *first);
            group_free(&g);
        }
        free(first);
    }
}

static void test_grouped_inside_region(void **state)
{
    (void)state;
    enum { COPIES = 6 };
    for (int form = MO_GROUP_NT; form <= MO_GROUP_TN; form++) {
        group copies[COPIES];
        int64_t count;
        for (int c = 0; c < COPIES; c++) copies[c] = group_make((mo_group_form)form, 5, ragged, 70, 33);
        mo_gemm_grouped(copies[0].form, 5, ragged, 70, 33, copies[0].X, copies[0].Y, copies[0].W, 0);
#pragma omp parallel for schedule(static) num_threads(3)
        for (int c = 1; c < COPIES; c++)
            mo_gemm_grouped(copies[c].form, 5, ragged, 70, 33, copies[c].X, copies[c].Y, copies[c].W, 0);
        const mo_real *want = result_of(&copies[0], &count);
        for (int c = 1; c < COPIES; c++)
            assert_memory_equal(result_of(&copies[c], &count), want, (size_t)count * sizeof *want);
        for (int c = 0; c < COPIES; c++) group_free(&copies[c]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_product),
                                       cmocka_unit_test(test_nothing),
                                       cmocka_unit_test(test_not_finite),
                                       cmocka_unit_test(test_threads),
                                       cmocka_unit_test(test_inside_region),
                                       cmocka_unit_test(test_grouped),
                                       cmocka_unit_test(test_grouped_many),
                                       cmocka_unit_test(test_grouped_threads),
                                       cmocka_unit_test(test_grouped_inside_region)};
    return cmocka_run_group_tests(tests, setup, NULL);
}
