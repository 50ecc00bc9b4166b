/* test_gemm_stored.c -- products with weights of a file, against the same product with the numbers in memory.
 *
 * Both are sums of `depth` products in working precision, in one order or another: they differ by at most
 * twice gamma_depth times the sum of the products' sizes (see test_gemm.c), plus three roundings of beta Y.
 */
#include "moira/tensor.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/harness.h"

enum { MOST_EXPERTS = 7 };

typedef struct problem {
    mo_group_form form;
    int64_t E, O, I, R, x, y; /* X [R, x], Y [R, y] */
    int32_t offsets[MOST_EXPERTS + 1];
    mo_real *X, *Y, *W;
    mo_stored stored;
    const void *part[MOST_EXPERTS];
    char *file;
} problem;

static void *room(size_t size)
{
    void *memory = aligned_alloc(64, (size + 64) & ~(size_t)63);
    if (!memory) fail_msg("out of memory");
    return memory;
}

static mo_real *values(uint32_t stream, int64_t count)
{
    mo_real *x = room((size_t)count * sizeof *x);
    for (int64_t i = 0; i < count; i++)
        x[i] = (mo_real)(2 * mo_rng_uniform(9, MO_RNG_TEST, 0, stream, (uint64_t)i) - 1);
    return x;
}

/* W's numbers are those that the file holds; its parts begin at odd addresses, `parts` of them. */
static problem make(mo_group_form form, mo_dtype dtype, int64_t E, const int32_t *rows, int64_t O, int64_t I,
                    int64_t parts)
{
    problem p = {.form = form, .E = E, .O = O, .I = I};
    for (int64_t e = 0; e < E; e++) p.offsets[e + 1] = p.offsets[e] + rows[e];
    bool nt = form == MO_GROUP_NT;
    p.R = p.offsets[E];
    p.x = nt ? I : O;
    p.y = nt ? O : I;
    p.X = values(1, p.R * p.x);
    p.Y = values(2, p.R * p.y);
    p.W = values(3, E * O * I);
    int64_t each = E * O * I / parts;
    size_t bytes = (size_t)each * mo_dtype_size(dtype);
    p.file = room((size_t)parts * (bytes + 3));
    p.stored = (mo_stored){dtype, parts, each, NULL};
    for (int64_t i = 0; i < parts; i++) {
        char *at = p.file + (size_t)i * (bytes + (bytes & 1) + 2) + 1;
        mo_narrow(dtype, p.W + i * each, each, at);
        const void *here = at;
        mo_stored_expand(&(mo_stored){dtype, 1, each, &here}, 0, 0, each, p.W + i * each);
        p.part[i] = at;
    }
    return p;
}

static void drop(problem *p)
{
    free(p->X);
    free(p->Y);
    free(p->W);
    free(p->file);
}

static void run(const problem *p, mo_real beta, mo_real *Y)
{
    mo_stored s = p->stored;
    s.part = p->part;
    memcpy(Y, p->Y, (size_t)(p->R * p->y) * sizeof *Y);
    for (int64_t i = 0; beta == MO_C(0) && i < p->R * p->y; i++) Y[i] = (mo_real)NAN;
    mo_gemm_stored(p->form, p->E, p->offsets, p->O, p->I, p->X, Y, &s, beta);
}

static void check_element(const problem *p, int64_t e, int64_t r, int64_t j, double beta, double got)
{
    bool nt = p->form == MO_GROUP_NT;
    double want = beta * (double)p->Y[r * p->y + j], size = fabs(want);
    const mo_real *W = p->W + e * p->O * p->I;
    for (int64_t k = 0; k < p->x; k++) {
        double term = (double)p->X[r * p->x + k] * (double)W[nt ? j * p->I + k : k * p->I + j];
        want += term;
        size += fabs(term);
    }
    double u = sizeof(mo_real) == sizeof(double) ? DBL_EPSILON / 2 : (double)FLT_EPSILON / 2;
    double n = (double)(p->x + 4) * u, tolerance = 2 * n / (1 - n) * size;
    if (!(fabs(got - want) <= tolerance))
        fail_msg("%s, %s, [%lld, %lld], beta %g: y[%lld, %lld] of expert %lld is %.9g, not %.9g",
                 nt ? "NT" : "NN", mo_dtype_name(p->stored.dtype), (long long)p->O, (long long)p->I, beta,
                 (long long)r, (long long)j, (long long)e, got, want);
}

/* Every 7th element or so of large ones. */
static void check(const problem *p, mo_real beta)
{
    mo_real *Y = room((size_t)(p->R * p->y) * sizeof *Y);
    run(p, beta, Y);
    int64_t stride = p->R * p->y > 5000 ? 7 : 1;
    for (int64_t e = 0; e < p->E; e++)
        for (int64_t r = p->offsets[e]; r < p->offsets[e + 1]; r++)
            for (int64_t j = r % stride; j < p->y; j += stride)
                check_element(p, e, r, j, (double)beta, (double)Y[r * p->y + j]);
    free(Y);
}

/* The same bits for 1, 2, 4 threads and more than there are tiles for. */
static void check_threads(const problem *p)
{
    int before = mo_threads();
    size_t size = (size_t)(p->R * p->y) * sizeof(mo_real);
    mo_real *first = room(size), *again = room(size);
    mo_threads_set(1);
    run(p, MO_C(0.5), first);
    for (int n = 2; n <= 32; n *= n == 4 ? 8 : 2) {
        mo_threads_set(n);
        run(p, MO_C(0.5), again);
        assert_memory_equal(first, again, size);
    }
    mo_threads_set(before);
    free(first);
    free(again);
}

/* Rows: none, one, the last that is thin, the first that is not, several strips and blocks; odd widths. */
static const int32_t plain_rows[][1] = {{1}, {8}, {9}, {40}, {270}}, grouped_rows[] = {0, 8, 1, 33, 0, 9, 3};

static void test_products(void **state)
{
    (void)state;
    static const int64_t shapes[][2] = {{1, 1}, {5, 7}, {70, 400}, {300, 45}, {530, 801}};
    static const mo_dtype dtypes[] = {MO_BF16, MO_F16, MO_F32};
    for (int f = 0; f < 2; f++)
        for (int s = 0; s < 5; s++)
            for (int k = 0; k < 6; k++) {
                mo_group_form form = f ? MO_GROUP_NN : MO_GROUP_NT;
                bool grouped = k == 5;
                if (s == 4 && (k == 3 || k == 0)) continue; /* takes long, and says nothing new */
                problem p =
                    make(form, dtypes[(s + k) % 3], grouped ? 7 : 1, grouped ? grouped_rows : plain_rows[k],
                         shapes[s][0], shapes[s][1], grouped && s % 2 ? 7 : 1);
                check(&p, 0);
                check(&p, 1);
                check(&p, MO_C(-0.25));
                check_threads(&p);
                drop(&p);
            }
}

/* A NaN or an infinity in the file reaches what hangs on it and no more. */
static void test_not_finite(void **state)
{
    (void)state;
    for (int thin = 0; thin < 2; thin++)
        for (int f = 0; f < 2; f++) {
            int32_t rows = thin ? 3 : 20;
            problem p = make(f ? MO_GROUP_NN : MO_GROUP_NT, MO_BF16, 1, &rows, 30, 500, 1);
            mo_real *Y = room((size_t)(p.R * p.y) * sizeof *Y), bad = (mo_real)NAN;
            mo_narrow(MO_BF16, &bad, 1, p.file + 1 + 2 * (7 * 500 + 11));
            run(&p, 0, Y);
            for (int64_t i = 0; i < p.R * p.y; i++)
                assert_int_equal(isnan(Y[i]) != 0, i % p.y == (f ? 11 : 7));
            free(Y);
            drop(&p);
        }
}

static int setup(void **state)
{
    (void)state;
    return mo_blas_init() == MO_OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_products), cmocka_unit_test(test_not_finite)};
    return cmocka_run_group_tests(tests, setup, NULL);
}
