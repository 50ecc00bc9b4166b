/* product.c -- a product on one thread, by micro-kernels over packed panels.
 *
 * C is made in strips of STRIP columns, and along the sum in blocks of DEPTH: a block of B that belongs to a
 * strip, packed, stays in the second-level cache while all rows of A pass by it, which are read where they
 * lie (or, transposed, packed MO_MICRO_ROWS at a time in the first-level cache). An element of C is the sum
 * of its blocks in order, so its bits depend on K alone, not on M, N or how the caller cuts them.
 *
 * A few rows (decoding) are dot products (thin.c): packing would cost more than the product. */
#include <string.h>

#include "tensor/microkernel.h"
#include "tensor/product.h"
#include "tensor/stored.h"
#include "tensor/thin.h"

enum { STRIP = 192, DEPTH = 512, HIGH = 64, EXPANDED = 64, AT_ONCE = 16 };

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Panels of one block, one after the other. */
static _Thread_local MO_ALIGNED mo_real block[STRIP * DEPTH];
/* Panels of MO_MICRO_ROWS columns of A. */
static _Thread_local MO_ALIGNED mo_real turned[(HIGH + MO_MICRO_ROWS) * DEPTH];

/* A panel of K rows and n columns of B, which is [n, K] if trans. */
static void pack_panel(bool trans, int64_t n, int64_t K, mo__source B, int64_t ldb, mo_real *to)
{
    if (B.dtype == MO_REAL) {
        (trans ? mo__pack_columns : mo__pack_rows)(n, K, B.at, ldb, to);
        return;
    }
    int64_t width = mo__panel_width(n);
    if (!trans) {
        for (int64_t k = 0; k < K; k++) {
            mo__expand(B.dtype, mo__source_from(B, k * ldb).at, n, to + k * width);
            memset(to + k * width + n, 0, (size_t)(width - n) * sizeof *to);
        }
        return;
    }
    mo_real expanded[MO_MICRO_COLUMNS * EXPANDED];
    for (int64_t k = 0; k < K; k += EXPANDED) {
        int64_t deep = least(EXPANDED, K - k);
        for (int64_t j = 0; j < n; j++)
            mo__expand(B.dtype, mo__source_from(B, j * ldb + k).at, deep, expanded + j * EXPANDED);
        mo__pack_columns(n, deep, expanded, EXPANDED, to + k * width);
    }
}

/* All panels of a block of K rows and n columns. Rows are packed a few at a time, for all panels, so that
 * memory is read along them. */
static void pack_block(bool trans, int64_t n, int64_t K, mo__source B, int64_t ldb)
{
    int64_t at_once = trans ? K : AT_ONCE;
    for (int64_t k = 0; k < K; k += at_once)
        for (int64_t j = 0; j < n; j += MO_MICRO_COLUMNS) {
            int64_t wide = least(MO_MICRO_COLUMNS, n - j);
            pack_panel(trans, wide, least(at_once, K - k), mo__source_from(B, trans ? j * ldb : k * ldb + j),
                       ldb, block + j * K + k * mo__panel_width(wide));
        }
}

/* count elements from x on will be read soon (or written). */
static void prefetch(const mo_real *x, int64_t count)
{
    for (int64_t i = 0; i < count; i += 64 / (int64_t)sizeof *x) __builtin_prefetch(x + i);
}

/* C [M, n] += A [M, K] times the packed block. While a panel is multiplied, the next rows of A come. */
static void multiply_rows(int64_t M, int64_t n, int64_t K, mo_real alpha, const mo_real *A, int64_t lda,
                          mo_real beta, mo_real *C, int64_t ldc)
{
    for (int64_t i = 0; i < M; i += MO_MICRO_ROWS) {
        int64_t rows = least(MO_MICRO_ROWS, M - i), next = i + rows, end = least(next + MO_MICRO_ROWS, M);
        for (int64_t j = 0; j < n; j += MO_MICRO_COLUMNS) {
            int64_t wide = least(MO_MICRO_COLUMNS, n - j);
            if (next < end) prefetch(A + next++ * lda, K);
            for (int64_t r = 0; r < rows; r++) prefetch(C + (i + r) * ldc + j, wide);
            mo__micro_rows(rows, wide, K, alpha, A + i * lda, lda, block + j * K, beta, C + i * ldc + j, ldc);
        }
    }
}

/* to[k, i] = a[k, i] of a panel of rows of A', MO_MICRO_ROWS apart. */
static void turn_panel(int64_t rows, int64_t K, const mo_real *a, int64_t lda, mo_real *to)
{
    if (rows == MO_MICRO_ROWS)
        for (int64_t k = 0; k < K; k++)
            memcpy(to + k * MO_MICRO_ROWS, a + k * lda, MO_MICRO_ROWS * sizeof *a);
    else
        for (int64_t k = 0; k < K; k++)
            for (int64_t i = 0; i < rows; i++) to[k * MO_MICRO_ROWS + i] = a[k * lda + i];
}

/* The same of A [K, M], transposed. */
static void multiply_columns(int64_t M, int64_t n, int64_t K, mo_real alpha, const mo_real *A, int64_t lda,
                             mo_real beta, mo_real *C, int64_t ldc)
{
    for (int64_t i0 = 0; i0 < M; i0 += HIGH) {
        int64_t high = least(HIGH, M - i0);
        for (int64_t k0 = 0; k0 < K; k0 += AT_ONCE)
            for (int64_t i = 0; i < high; i += MO_MICRO_ROWS)
                turn_panel(least(MO_MICRO_ROWS, high - i), least(AT_ONCE, K - k0), A + k0 * lda + i0 + i, lda,
                           turned + i * K + k0 * MO_MICRO_ROWS);
        for (int64_t i = 0; i < high; i += MO_MICRO_ROWS) {
            int64_t rows = least(MO_MICRO_ROWS, high - i);
            for (int64_t j = 0; j < n; j += MO_MICRO_COLUMNS) {
                int64_t wide = least(MO_MICRO_COLUMNS, n - j);
                mo_real *c = C + (i0 + i) * ldc + j;
                for (int64_t r = 0; r < rows; r++) prefetch(c + r * ldc, wide);
                mo__micro_columns(rows, wide, K, alpha, turned + i * K, MO_MICRO_ROWS, block + j * K, beta, c,
                                  ldc);
            }
        }
    }
}

static void multiply(bool trans_a, bool trans_b, int64_t M, int64_t N, int64_t K, mo_real alpha,
                     const mo_real *A, int64_t lda, mo__source B, int64_t ldb, mo_real beta, mo_real *C,
                     int64_t ldc)
{
    enum { PANELS = STRIP / MO_MICRO_COLUMNS * MO_MICRO_COLUMNS };
    for (int64_t n0 = 0; n0 < N; n0 += PANELS) {
        int64_t n = least(PANELS, N - n0);
        for (int64_t k0 = 0; k0 < K; k0 += DEPTH) {
            int64_t deep = least(DEPTH, K - k0);
            pack_block(trans_b, n, deep, mo__source_from(B, trans_b ? n0 * ldb + k0 : k0 * ldb + n0), ldb);
            (trans_a ? multiply_columns : multiply_rows)(M, n, deep, alpha, A + (trans_a ? k0 * lda : k0),
                                                         lda, k0 == 0 ? beta : MO_C(1), C + n0, ldc);
        }
    }
}

static void scale_rows(int64_t M, int64_t N, mo_real beta, mo_real *C, int64_t ldc)
{
    for (int64_t m = 0; m < M; m++)
        for (int64_t n = 0; n < N; n++) C[m * ldc + n] = beta == MO_C(0) ? MO_C(0) : beta * C[m * ldc + n];
}

void mo__product(bool trans_a, bool trans_b, int64_t M, int64_t N, int64_t K, mo_real alpha, const mo_real *A,
                 int64_t lda, mo__source B, int64_t ldb, mo_real beta, mo_real *C, int64_t ldc)
{
    if (M <= 0 || N <= 0) return;
    if (K <= 0)
        scale_rows(M, N, beta, C, ldc);
    else if (mo__is_thin(trans_a, trans_b, M))
        mo__thin_nt(M, N, K, alpha, A, lda, B.dtype, B.at, ldb, beta, C, ldc);
    else
        multiply(trans_a, trans_b, M, N, K, alpha, A, lda, B, ldb, beta, C, ldc);
}

void mo_gemm_tile(bool trans_a, bool trans_b, int64_t M, int64_t N, int64_t K, mo_real alpha,
                  const mo_real *A, int64_t lda, const mo_real *B, int64_t ldb, mo_real beta, mo_real *C,
                  int64_t ldc)
{
    mo__product(trans_a, trans_b, M, N, K, alpha, A, lda, (mo__source){B, MO_REAL}, ldb, beta, C, ldc);
}
