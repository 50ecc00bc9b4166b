/* microkernel.h -- the innermost product: a few rows times a panel of columns, summed in registers.
 *
 *   c[i, j] = alpha sum_k a_ik b_kj + beta c[i, j]        i < rows <= MO_MICRO_ROWS, j < n <=
 * MO_MICRO_COLUMNS
 *
 * MO_MICRO_ROWS x MO_MICRO_VECTORS accumulators leave room for one row of b and an element of a in the
 * registers that the instruction set has. a is read where it lies; b must be packed: [K, w] with w the width
 * of its vectors, mo__panel_width(n) elements, aligned to a vector, zeros past n.
 *
 * Every c is one chain of additions along k, fused with the products where the processor can: the result does
 * not depend on rows, n, vectors' width or place, nor on the tile that the caller cuts. */
#ifndef MOIRA_TENSOR_MICROKERNEL_H
#define MOIRA_TENSOR_MICROKERNEL_H

#include "moira/tensor.h"

#if defined(__AVX512F__)
#define MO_VECTOR_BYTES 64
#elif defined(__AVX__)
#define MO_VECTOR_BYTES 32
#else
#define MO_VECTOR_BYTES 16
#endif

#if defined(__AVX512F__) || defined(__aarch64__) /* 32 vector registers; else 16 */
#define MO_MICRO_ROWS 8
#else
#define MO_MICRO_ROWS 4
#endif

#define MO_VECTOR        ((int64_t)(MO_VECTOR_BYTES / sizeof(mo_real))) /* elements of a vector */
#define MO_MICRO_VECTORS 3
#define MO_MICRO_COLUMNS (MO_MICRO_VECTORS * MO_VECTOR)
#define MO_ALIGNED       _Alignas(64)

typedef mo_real mo_vector __attribute__((vector_size(MO_VECTOR_BYTES)));
/* A vector anywhere in an array. */
typedef mo_real mo_vector_at
    __attribute__((vector_size(MO_VECTOR_BYTES), aligned(sizeof(mo_real)), may_alias));

/* Elements that a row of a panel of n <= MO_MICRO_COLUMNS columns takes. */
static inline int64_t mo__panel_width(int64_t n)
{
    return (n + MO_VECTOR - 1) / MO_VECTOR * MO_VECTOR;
}

/* a_ik = a[i lda + k]. beta 0 does not read c. K >= 0. */
void mo__micro_rows(int64_t rows, int64_t n, int64_t K, mo_real alpha, const mo_real *a, int64_t lda,
                    const mo_real *b, mo_real beta, mo_real *c, int64_t ldc);
/* a_ik = a[i + k lda]: lda is MO_MICRO_ROWS in a packed panel. */
void mo__micro_columns(int64_t rows, int64_t n, int64_t K, mo_real alpha, const mo_real *a, int64_t lda,
                       const mo_real *b, mo_real beta, mo_real *c, int64_t ldc);

/* Packs a panel of n <= MO_MICRO_COLUMNS columns and K rows: b_kj = x[k ldx + j], or x[j ldx + k] for
 * columns. to: K * mo__panel_width(n) elements. */
void mo__pack_rows(int64_t n, int64_t K, const mo_real *x, int64_t ldx, mo_real *to);
void mo__pack_columns(int64_t n, int64_t K, const mo_real *x, int64_t ldx, mo_real *to);

#endif
