/* gemm.c -- the gate that every matrix product passes: tasks of one thread each (product.c), one team.
 *
 * The products of all experts make one list of tasks, each a tile of one product's output, those of the
 * longest products first. High tiles pay for packing the right side once for each; where there would be too
 * few tasks for the team, tiles are made smaller. */
#include <omp.h>

#include "tensor/cut.h"
#include "tensor/microkernel.h"
#include "tensor/product.h"
#include "tensor/thin.h"

enum {
    HIGH = 1024, /* rows of a tile, at most */
    HIGH_LEAST = 64,
    WIDE = 192 / MO_MICRO_COLUMNS * MO_MICRO_COLUMNS, /* columns, at most: a strip of product.c */
    WIDE_LEAST = 2 * MO_MICRO_COLUMNS,
    TASKS_OF_THREAD = 2,  /* at least, where all are of one size; */
    TASKS_UNEQUAL = 6,    /* where they are not */
    TOGETHER = 256,       /* products that share a list */
    THIN_RUN = 512 << 10, /* bytes of B that a thread reads at a time */
    THIN_ALONE = 16 << 10 /* products of two numbers that take less than a team */
};

typedef struct product {
    bool trans_a, trans_b;
    int64_t M, N, K;
    mo_real alpha;
    const mo_real *A;
    int64_t lda;
    mo__source B;
    int64_t ldb;
    mo_real beta;
    mo_real *C;
    int64_t ldc;
} product;

typedef struct tile {
    int64_t high, wide;
} tile;

static cut cut_rows(const product *p, tile t)
{
    return cut_make(p->M, t.high, MO_MICRO_ROWS);
}
static cut cut_columns(const product *p, tile t)
{
    return cut_make(p->N, t.wide, MO_MICRO_COLUMNS);
}
static int64_t count_tasks(const product *p, tile t)
{
    return cut_rows(p, t).count * cut_columns(p, t).count;
}

static int64_t half(int64_t size, int64_t unit)
{
    return ceil_div(size / 2, unit) * unit;
}

static tile choose_tile(int64_t count, const product *products)
{
    tile t = {HIGH, WIDE};
    int64_t threads = omp_in_parallel() ? 1 : omp_get_max_threads();
    int64_t wanted = threads == 1 ? 1 : threads * (count > 1 ? TASKS_UNEQUAL : TASKS_OF_THREAD);
    for (;;) {
        int64_t tasks = 0;
        for (int64_t i = 0; i < count; i++) tasks += count_tasks(&products[i], t);
        bool lower = t.high > HIGH_LEAST, narrower = t.wide > WIDE_LEAST;
        if (tasks >= wanted || !(lower || narrower)) return t;
        if (lower && (t.high >= t.wide || !narrower))
            t.high = half(t.high, MO_MICRO_ROWS);
        else
            t.wide = half(t.wide, MO_MICRO_COLUMNS);
    }
}

static void do_tile(const product *p, int64_t m, int64_t m_end, int64_t n, int64_t n_end)
{
    mo__product(p->trans_a, p->trans_b, m_end - m, n_end - n, p->K, p->alpha,
                p->A + (p->trans_a ? m : m * p->lda), p->lda,
                mo__source_from(p->B, p->trans_b ? n * p->ldb : n), p->ldb, p->beta, p->C + m * p->ldc + n,
                p->ldc);
}

static int64_t work(const product *p)
{
    return p->M * p->N * p->K;
}

/* Falling order of work; ties: lower first. */
static void sort(int64_t count, const product *products, const product **sorted)
{
    for (int64_t i = 0; i < count; i++) {
        int64_t at = i;
        for (; at > 0 && work(sorted[at - 1]) < work(&products[i]); at--) sorted[at] = sorted[at - 1];
        sorted[at] = &products[i];
    }
}

/* ---- a few rows against many: bound by the reading of B ---- */

static bool all_thin(int64_t count, const product *products)
{
    for (int64_t i = 0; i < count; i++)
        if (!mo__is_thin(products[i].trans_a, products[i].trans_b, products[i].M)) return false;
    return true;
}

/* Columns from .. to of the products' outputs, those that have rows, one after another. */
static void do_thin_run(int64_t count, const product *products, int64_t from, int64_t to)
{
    int64_t first = 0; /* of products[i] */
    for (int64_t i = 0; i < count && first < to; i++) {
        const product *p = &products[i];
        if (p->M == 0) continue;
        int64_t n = from > first ? from - first : 0, end = to - first < p->N ? to - first : p->N;
        if (n < end) do_tile(p, 0, p->M, n, end);
        first += p->N;
    }
}

/* Memory is read fastest in long runs. What is small is done before a second thread begins. */
static void do_thin_products(int64_t count, const product *products)
{
    int64_t columns = 0, bytes = 0, all_work = 0;
    for (int64_t i = 0; i < count; i++) {
        const product *p = &products[i];
        if (p->M == 0) continue;
        columns += p->N;
        bytes += p->N * p->K * (int64_t)mo_dtype_size(p->B.dtype);
        all_work += work(p);
    }
    int64_t runs = bytes / THIN_RUN > mo_threads() ? bytes / THIN_RUN : mo_threads();
    if (runs > columns) runs = columns;
    if (all_work <= THIN_ALONE || runs <= 1) {
        do_thin_run(count, products, 0, columns);
        return;
    }
#pragma omp parallel for schedule(dynamic, 1)
    for (int64_t r = 0; r < runs; r++)
        do_thin_run(count, products, columns * r / runs, columns * (r + 1) / runs);
}

static void do_products(int64_t count, const product *products)
{
    if (all_thin(count, products)) {
        do_thin_products(count, products);
        return;
    }
    const product *sorted[TOGETHER];
    int64_t begins[TOGETHER + 1]; /* tasks before those of sorted[i] */
    tile t = choose_tile(count, products);
    sort(count, products, sorted);
    begins[0] = 0;
    for (int64_t i = 0; i < count; i++) begins[i + 1] = begins[i] + count_tasks(sorted[i], t);
#pragma omp parallel for schedule(dynamic, 1)
    for (int64_t q = 0; q < begins[count]; q++) {
        int64_t at = 0, end = count; /* begins[at] <= q < begins[end] */
        while (end - at > 1) {
            int64_t middle = (at + end) / 2;
            *(begins[middle] <= q ? &at : &end) = middle;
        }
        cut rows = cut_rows(sorted[at], t), columns = cut_columns(sorted[at], t);
        int64_t i = (q - begins[at]) % rows.count, j = (q - begins[at]) / rows.count;
        do_tile(sorted[at], cut_begin(rows, i), cut_begin(rows, i + 1), cut_begin(columns, j),
                cut_begin(columns, j + 1));
    }
}

void mo_gemm(bool trans_a, bool trans_b, int64_t M, int64_t N, int64_t K, mo_real alpha, const mo_real *A,
             int64_t lda, const mo_real *B, int64_t ldb, mo_real beta, mo_real *C, int64_t ldc)
{
    product p = {trans_a, trans_b, M, N, K, alpha, A, lda, {B, MO_REAL}, ldb, beta, C, ldc};
    do_products(1, &p);
}

/* Expert e's own product; `W` is its weight. */
static product of_expert(mo_group_form form, int64_t rows, int64_t O, int64_t I, const mo_real *X, mo_real *Y,
                         mo__source W, mo_real *dW, mo_real beta)
{
    switch (form) {
    case MO_GROUP_NT:
        return (product){false, true, rows, O, I, 1, X, I, W, I, beta, Y, O};
    case MO_GROUP_NN:
        return (product){false, false, rows, I, O, 1, X, O, W, I, beta, Y, I};
    default:
        return (product){true, false, O, I, rows, 1, X, O, {Y, MO_REAL}, I, beta, dW, I};
    }
}

static void grouped(mo_group_form form, int64_t E, const int32_t *offsets_E1, int64_t O, int64_t I,
                    const mo_real *X, mo_real *Y, mo_real *W, const mo_stored *stored, mo_real beta)
{
    product products[TOGETHER];
    int64_t x_width = form == MO_GROUP_NT ? I : O, y_width = form == MO_GROUP_NT ? O : I;
    for (int64_t from = 0; from < E; from += TOGETHER) {
        int64_t count = E - from < TOGETHER ? E - from : TOGETHER;
        for (int64_t i = 0; i < count; i++) {
            int64_t e = from + i, first = offsets_E1[e], at = e * O * I;
            mo__source w = {W ? W + at : NULL, MO_REAL};
            if (stored)
                w = mo__source_from((mo__source){stored->part[at / stored->part_elements], stored->dtype},
                                    at % stored->part_elements);
            products[i] = of_expert(form, offsets_E1[e + 1] - first, O, I, X + first * x_width,
                                    Y + first * y_width, w, W ? W + at : NULL, beta);
        }
        do_products(count, products);
    }
}

void mo_gemm_grouped(mo_group_form form, int64_t E, const int32_t *offsets_E1, int64_t O, int64_t I,
                     const mo_real *X, mo_real *Y, mo_real *W, mo_real beta)
{
    grouped(form, E, offsets_E1, O, I, X, Y, W, NULL, beta);
}

void mo_gemm_stored(mo_group_form form, int64_t E, const int32_t *offsets_E1, int64_t O, int64_t I,
                    const mo_real *X, mo_real *Y, const mo_stored *W, mo_real beta)
{
    MO_ASSERT(form != MO_GROUP_TN);
    grouped(form, E, offsets_E1, O, I, X, Y, NULL, W, beta);
}
