/* gemm_stored.c -- products with weights that lie in a file, expanded tile by tile.
 *
 * A task is a strip of an expert's output, STRIP columns wide and up to ROWS rows high. It goes along the sum
 * in blocks of DEPTH: expands the block of the weight that belongs to the strip (STRIP x DEPTH numbers, which
 * stay in the second-level cache) and adds its product with all the strip's rows. So a number of the weight
 * is read once for every ROWS rows, and written and read in cache alone. Cuts depend on shapes alone, and a
 * strip's blocks are added in order: the same bits for any number of threads.
 *
 * An expert with a few rows (decoding) has its weight read as it streams by: dot products that expand on the
 * fly, at the speed of memory. */
#include <omp.h>
#include <pthread.h>
#include <string.h>

#include "tensor/blas.h"
#include "tensor/cut.h"
#include "tensor/rows.h"
#include "tensor/stored.h"

enum {
    STRIP = 256,
    STRIP_MIN = 64,
    DEPTH = 384,
    ROWS = 1024,
    ROWS_MIN = 256,
    TASKS_WANTED = 16,
    THIN_ROWS = 8,
    THIN_STRIP = 64,
    THIN_DEPTH = 384, /* numbers of a weight's row that are expanded at a time, in first-level cache */
    LEAST_THREADS = 16
};

/* ---- scratch: a tile for each thread ---- */

static int slots;
static pthread_once_t slots_once = PTHREAD_ONCE_INIT;

static void count_slots(void)
{
    slots = mo_cores() > LEAST_THREADS ? mo_cores() : LEAST_THREADS;
}

static int slot_count(void)
{
    pthread_once(&slots_once, count_slots);
    return slots;
}

size_t mo_gemm_stored_scratch(void)
{
    return (size_t)slot_count() * STRIP * DEPTH * sizeof(mo_real);
}

/* ---- one expert ---- */

typedef struct product {
    mo_group_form form;
    int64_t rows, out, depth; /* of op: Y [rows, out], sums of `depth` */
    const mo_real *X;         /* [rows, depth] */
    mo_real *Y;               /* [rows, out] */
    const unsigned char *W;   /* NT: [out, depth]; NN: [depth, out] */
    mo_dtype dtype;
    mo_real beta;
} product;

static bool is_thin(mo_group_form form, int64_t rows)
{
    return form == MO_GROUP_NT && rows <= THIN_ROWS;
}

/* How an expert's Y is cut. */
typedef struct strips {
    cut rows, cols;
} strips;

static strips cut_strips(mo_group_form form, int64_t rows, int64_t out, int64_t experts)
{
    if (is_thin(form, rows)) return (strips){cut_make(rows, THIN_ROWS), cut_make(out, THIN_STRIP)};
    int64_t high = ROWS, wide = STRIP;
    while (experts * ceil_div(rows, high) * ceil_div(out, wide) < TASKS_WANTED &&
           (high > ROWS_MIN || wide > STRIP_MIN)) {
        if (wide > STRIP_MIN)
            wide /= 2;
        else
            high /= 2;
    }
    return (strips){cut_make(rows, high), cut_make(out, wide)};
}

/* Expands rows x columns of W from (row, column) on, rows of `width` numbers. */
static void expand_tile(const product *p, int64_t width, int64_t row, int64_t column, int64_t rows,
                        int64_t columns, mo_real *tile)
{
    size_t size = mo_dtype_size(p->dtype);
    for (int64_t i = 0; i < rows; i++)
        mo__expand(p->dtype, p->W + (size_t)((row + i) * width + column) * size, columns, tile + i * columns);
}

/* Y[m .. m_end, n .. n_end] */
static void strip_product(const product *p, int64_t m, int64_t m_end, int64_t n, int64_t n_end, mo_real *tile)
{
    cut blocks = cut_make(p->depth, DEPTH);
    int64_t wide = n_end - n;
    bool nt = p->form == MO_GROUP_NT;
    for (int64_t b = 0; b < blocks.count; b++) {
        int64_t k = cut_begin(blocks, b), deep = cut_begin(blocks, b + 1) - k;
        if (nt)
            expand_tile(p, p->depth, n, k, wide, deep, tile);
        else
            expand_tile(p, p->out, k, n, deep, wide, tile);
        mo__blas_gemm(false, nt, m_end - m, wide, deep, 1, p->X + m * p->depth + k, p->depth, tile,
                      nt ? deep : wide, b == 0 ? p->beta : MO_C(1), p->Y + m * p->out + n, p->out);
    }
}

/* sums[m] += row m of x, `stride` numbers apart, times w: four rows at a time, so that their sums, each a
 * chain of additions, go on side by side. */
static void add_dots(mo_real *sums, const mo_real *x, int64_t stride, int64_t rows, const mo_real *w,
                     int64_t count)
{
    int64_t m = 0;
    for (; m + 4 <= rows; m += 4) {
        const mo_real *a = x + m * stride, *b = a + stride, *c = b + stride, *d = c + stride;
        mo_real s = 0, t = 0, u = 0, v = 0;
#pragma omp simd reduction(+ : s, t, u, v)
        for (int64_t i = 0; i < count; i++) {
            s += a[i] * w[i];
            t += b[i] * w[i];
            u += c[i] * w[i];
            v += d[i] * w[i];
        }
        sums[m] += s;
        sums[m + 1] += t;
        sums[m + 2] += u;
        sums[m + 3] += v;
    }
    for (; m < rows; m++) sums[m] += mo_row_dot(x + m * stride, w, count);
}

/* The same for a few rows, NT: W is read once, as it lies, which is what memory is fastest at. */
static void thin_strip(const product *p, int64_t n, int64_t end)
{
    size_t size = mo_dtype_size(p->dtype);
    mo_real w[THIN_DEPTH], sums[THIN_ROWS];
    for (; n < end; n++) {
        memset(sums, 0, sizeof sums);
        for (int64_t k = 0; k < p->depth; k += THIN_DEPTH) {
            int64_t deep = p->depth - k < THIN_DEPTH ? p->depth - k : THIN_DEPTH;
            mo__expand(p->dtype, p->W + (size_t)(n * p->depth + k) * size, deep, w);
            add_dots(sums, p->X + k, p->depth, p->rows, w, deep);
        }
        for (int64_t m = 0; m < p->rows; m++) {
            mo_real *y = &p->Y[m * p->out + n];
            *y = p->beta == MO_C(0) ? sums[m] : sums[m] + p->beta * *y;
        }
    }
}

/* ---- all experts ---- */

static const unsigned char *matrix_at(const mo_stored *W, int64_t e, int64_t elements)
{
    int64_t first = e * elements;
    const unsigned char *part = W->part[first / W->part_elements];
    return part + (size_t)(first % W->part_elements) * mo_dtype_size(W->dtype);
}

void mo_gemm_stored(mo_group_form form, int64_t E, const int32_t *offsets_E1, int64_t O, int64_t I,
                    const mo_real *X, mo_real *Y, const mo_stored *W, mo_real beta, void *scratch)
{
    MO_ASSERT(form != MO_GROUP_TN);
    int64_t depth = form == MO_GROUP_NT ? I : O, out = form == MO_GROUP_NT ? O : I;
    int32_t order[MAX_SORTED];
    bool sorted = E <= MAX_SORTED;
    if (sorted) sort_experts(E, offsets_E1, order);
    int64_t tasks = 0;
    for (int64_t e = 0; e < E; e++) {
        strips s = cut_strips(form, offsets_E1[e + 1] - offsets_E1[e], out, E);
        tasks += s.rows.count * s.cols.count;
    }
    int team = omp_get_max_threads() < slot_count() ? omp_get_max_threads() : slot_count();
#pragma omp parallel for schedule(dynamic, 1) num_threads(team)
    for (int64_t q = 0; q < tasks; q++) {
        int64_t left = q, at = 0, e = 0;
        strips s;
        for (;; at++) {
            e = sorted ? order[at] : at;
            s = cut_strips(form, offsets_E1[e + 1] - offsets_E1[e], out, E);
            if (left < s.rows.count * s.cols.count) break;
            left -= s.rows.count * s.cols.count;
        }
        int64_t first = offsets_E1[e], i = left % s.rows.count, j = left / s.rows.count;
        product p = {form,
                     offsets_E1[e + 1] - first,
                     out,
                     depth,
                     X + first * depth,
                     Y + first * out,
                     matrix_at(W, e, O * I),
                     W->dtype,
                     beta};
        mo_real *tile = (mo_real *)scratch + (int64_t)omp_get_thread_num() * STRIP * DEPTH;
        if (is_thin(form, p.rows))
            thin_strip(&p, cut_begin(s.cols, j), cut_begin(s.cols, j + 1));
        else
            strip_product(&p, cut_begin(s.rows, i), cut_begin(s.rows, i + 1), cut_begin(s.cols, j),
                          cut_begin(s.cols, j + 1), tile);
    }
}
