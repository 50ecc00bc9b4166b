/* gemm.c -- the gate that every matrix product passes: fixed tiles, one-thread products, one team.
 *
 * The output is cut into tiles that depend on the shape alone; each tile is one product on one thread, so the
 * bits do not depend on how many threads share the tiles. Tiles are big enough to pay for packing their
 * operands (128 x 128 and up) and, where the output allows, numerous enough for 16 cores. */
#include <string.h>

#include "tensor/blas.h"
#include "tensor/cut.h"
#include "tensor/rows.h"

enum { TILE_ROWS = 256, TILE_COLS = 512, TILE_MIN = 128, TILES_WANTED = 16, THIN_ROWS = 8 };

typedef struct tiling {
    cut rows, cols;
} tiling;

static tiling tile(int64_t M, int64_t N)
{
    int64_t rows = TILE_ROWS, cols = TILE_COLS;
    while (ceil_div(M, rows) * ceil_div(N, cols) < TILES_WANTED && (rows > TILE_MIN || cols > TILE_MIN)) {
        if (cols >= rows)
            cols /= 2;
        else
            rows /= 2;
    }
    return (tiling){cut_make(M, rows), cut_make(N, cols)};
}

/* A row or a few against many stored rows (decoding): packing would cost more than the product. */
static void thin_product(int64_t M, int64_t N, int64_t K, mo_real alpha, const mo_real *A, int64_t lda,
                         const mo_real *B, int64_t ldb, mo_real beta, mo_real *C, int64_t ldc)
{
    for (int64_t n = 0; n < N; n++)
        for (int64_t m = 0; m < M; m++) {
            mo_real dot = alpha * mo_row_dot(A + m * lda, B + n * ldb, K);
            C[m * ldc + n] = beta == MO_C(0) ? dot : dot + beta * C[m * ldc + n];
        }
}

static void scale_rows(int64_t M, int64_t N, mo_real beta, mo_real *C, int64_t ldc)
{
    for (int64_t m = 0; m < M; m++)
        for (int64_t n = 0; n < N; n++) C[m * ldc + n] = beta == MO_C(0) ? MO_C(0) : beta * C[m * ldc + n];
}

void mo_gemm_tile(bool trans_a, bool trans_b, int64_t M, int64_t N, int64_t K, mo_real alpha,
                  const mo_real *A, int64_t lda, const mo_real *B, int64_t ldb, mo_real beta, mo_real *C,
                  int64_t ldc)
{
    if (M <= 0 || N <= 0) return;
    if (K <= 0)
        scale_rows(M, N, beta, C, ldc);
    else if (M <= THIN_ROWS && !trans_a && trans_b)
        thin_product(M, N, K, alpha, A, lda, B, ldb, beta, C, ldc);
    else
        mo__blas_gemm(trans_a, trans_b, M, N, K, alpha, A, lda, B, ldb, beta, C, ldc);
}

/* Tile (i, j) of op(A) op(B). */
static void product_tile(tiling t, int64_t i, int64_t j, bool trans_a, bool trans_b, int64_t K, mo_real alpha,
                         const mo_real *A, int64_t lda, const mo_real *B, int64_t ldb, mo_real beta,
                         mo_real *C, int64_t ldc)
{
    int64_t m = cut_begin(t.rows, i), n = cut_begin(t.cols, j);
    mo_gemm_tile(trans_a, trans_b, cut_begin(t.rows, i + 1) - m, cut_begin(t.cols, j + 1) - n, K, alpha,
                 A + (trans_a ? m : m * lda), lda, B + (trans_b ? n * ldb : n), ldb, beta, C + m * ldc + n,
                 ldc);
}

void mo_gemm(bool trans_a, bool trans_b, int64_t M, int64_t N, int64_t K, mo_real alpha, const mo_real *A,
             int64_t lda, const mo_real *B, int64_t ldb, mo_real beta, mo_real *C, int64_t ldc)
{
    tiling t = tile(M, N);
    int64_t tiles = t.rows.count * t.cols.count;
#pragma omp parallel for schedule(dynamic, 1)
    for (int64_t q = 0; q < tiles; q++)
        product_tile(t, q / t.cols.count, q % t.cols.count, trans_a, trans_b, K, alpha, A, lda, B, ldb, beta,
                     C, ldc);
}

/* Tiling of one expert's product: over its rows (NT, NN) or over its weight (TN). */
static tiling group_tiling(mo_group_form form, int64_t O, int64_t I, int64_t rows)
{
    switch (form) {
    case MO_GROUP_NT:
        return (tiling){cut_make(rows, TILE_ROWS), cut_make(O, TILE_COLS)};
    case MO_GROUP_NN:
        return (tiling){cut_make(rows, TILE_ROWS), cut_make(I, TILE_COLS)};
    default:
        return (tiling){cut_make(O, TILE_ROWS), cut_make(I, TILE_ROWS)};
    }
}

static void group_tile(mo_group_form form, tiling t, int64_t q, int64_t O, int64_t I, int64_t rows,
                       const mo_real *X, mo_real *Y, mo_real *W, mo_real beta)
{
    int64_t i = q / t.cols.count, j = q % t.cols.count;
    switch (form) {
    case MO_GROUP_NT:
        product_tile(t, i, j, false, true, I, 1, X, I, W, I, beta, Y, O);
        break;
    case MO_GROUP_NN:
        product_tile(t, i, j, false, false, O, 1, X, O, W, I, beta, Y, I);
        break;
    case MO_GROUP_TN:
        product_tile(t, i, j, true, false, rows, 1, X, O, Y, I, beta, W, I);
        break;
    }
}

void mo_gemm_grouped(mo_group_form form, int64_t E, const int32_t *offsets_E1, int64_t O, int64_t I,
                     const mo_real *X, mo_real *Y, mo_real *W, mo_real beta)
{
    int32_t order[MAX_SORTED];
    bool sorted = E <= MAX_SORTED;
    if (sorted) sort_experts(E, offsets_E1, order);
    int64_t tiles = 0;
    for (int64_t e = 0; e < E; e++) {
        tiling t = group_tiling(form, O, I, offsets_E1[e + 1] - offsets_E1[e]);
        tiles += t.rows.count * t.cols.count;
    }
    int64_t x_width = form == MO_GROUP_NT ? I : O, y_width = form == MO_GROUP_NT ? O : I;
#pragma omp parallel for schedule(dynamic, 1)
    for (int64_t q = 0; q < tiles; q++) {
        int64_t left = q, at = 0, e = 0;
        tiling t;
        for (;; at++) {
            e = sorted ? order[at] : at;
            t = group_tiling(form, O, I, offsets_E1[e + 1] - offsets_E1[e]);
            if (left < t.rows.count * t.cols.count) break;
            left -= t.rows.count * t.cols.count;
        }
        int64_t first = offsets_E1[e], rows = offsets_E1[e + 1] - first;
        group_tile(form, t, left, O, I, rows, X + first * x_width, Y + first * y_width, W + e * O * I, beta);
    }
}
