/* microkernel.c -- see microkernel.h. Compilers keep `sum` in registers: its indices are constants once
 * `rows` and `vectors` are. */
#include "tensor/microkernel.h"

#include <string.h>

#define INLINE static inline __attribute__((always_inline))

/* c = alpha sum + beta c of `width` sums, of which n count. */
static void write_some(int64_t width, int64_t n, int64_t rows, mo_real alpha, const mo_real *sum,
                       mo_real beta, mo_real *c, int64_t ldc)
{
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < n; j++) {
            mo_real *at = &c[i * ldc + j], product = alpha * sum[i * width + j];
            *at = beta == MO_C(0) ? product : product + beta * *at;
        }
}

INLINE void micro(int rows, int vectors, int64_t n, int64_t K, mo_real alpha, const mo_real *a,
                  int64_t step_i, int64_t step_k, const mo_real *b, mo_real beta, mo_real *c, int64_t ldc)
{
    mo_vector sum[MO_MICRO_ROWS][MO_MICRO_VECTORS];
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 3
        for (int j = 0; j < vectors; j++) sum[i][j] = (mo_vector){0};
    for (int64_t k = 0; k < K; k++) {
        mo_vector b_k[MO_MICRO_VECTORS];
#pragma GCC unroll 3
        for (int j = 0; j < vectors; j++) b_k[j] = *(const mo_vector *)(b + j * MO_VECTOR);
#pragma GCC unroll 8
        for (int i = 0; i < rows; i++)
#pragma GCC unroll 3
            for (int j = 0; j < vectors; j++) sum[i][j] += a[i * step_i + k * step_k] * b_k[j];
        b += vectors * MO_VECTOR;
    }
    if (n < vectors * MO_VECTOR) {
        mo_vector some[MO_MICRO_ROWS * MO_MICRO_VECTORS];
#pragma GCC unroll 8
        for (int i = 0; i < rows; i++)
#pragma GCC unroll 3
            for (int j = 0; j < vectors; j++) some[i * vectors + j] = sum[i][j];
        write_some(vectors * MO_VECTOR, n, rows, alpha, (const mo_real *)some, beta, c, ldc);
    } else if (beta == MO_C(0)) {
#pragma GCC unroll 8
        for (int i = 0; i < rows; i++)
#pragma GCC unroll 3
            for (int j = 0; j < vectors; j++)
                *(mo_vector_at *)(c + i * ldc + j * MO_VECTOR) = alpha * sum[i][j];
    } else {
#pragma GCC unroll 8
        for (int i = 0; i < rows; i++)
#pragma GCC unroll 3
            for (int j = 0; j < vectors; j++) {
                mo_vector_at *at = (mo_vector_at *)(c + i * ldc + j * MO_VECTOR);
                *at = alpha * sum[i][j] + beta * *at;
            }
    }
}

typedef void micro_fn(int64_t n, int64_t K, mo_real alpha, const mo_real *a, int64_t lda, const mo_real *b,
                      mo_real beta, mo_real *c, int64_t ldc);

/* rows_R_V and columns_R_V: R rows, V vectors. */
#define KERNEL(R, V)                                                                                  \
    static void rows_##R##_##V(int64_t n, int64_t K, mo_real alpha, const mo_real *a, int64_t lda,    \
                               const mo_real *b, mo_real beta, mo_real *c, int64_t ldc)               \
    {                                                                                                 \
        micro(R, V, n, K, alpha, a, lda, 1, b, beta, c, ldc);                                         \
    }                                                                                                 \
    static void columns_##R##_##V(int64_t n, int64_t K, mo_real alpha, const mo_real *a, int64_t lda, \
                                  const mo_real *b, mo_real beta, mo_real *c, int64_t ldc)            \
    {                                                                                                 \
        micro(R, V, n, K, alpha, a, 1, lda, b, beta, c, ldc);                                         \
    }
#define KERNELS(R) KERNEL(R, 1) KERNEL(R, 2) KERNEL(R, 3)
#define ROWS_OF(R)                               \
    {                                            \
        rows_##R##_1, rows_##R##_2, rows_##R##_3 \
    }
#define COLUMNS_OF(R)                                     \
    {                                                     \
        columns_##R##_1, columns_##R##_2, columns_##R##_3 \
    }

KERNELS(1)
KERNELS(2)
KERNELS(3)
KERNELS(4)
#if MO_MICRO_ROWS == 8
KERNELS(5)
KERNELS(6)
KERNELS(7)
KERNELS(8)
#endif

static micro_fn *const by_rows[MO_MICRO_ROWS][MO_MICRO_VECTORS] = {
    ROWS_OF(1), ROWS_OF(2), ROWS_OF(3), ROWS_OF(4),
#if MO_MICRO_ROWS == 8
    ROWS_OF(5), ROWS_OF(6), ROWS_OF(7), ROWS_OF(8),
#endif
};
static micro_fn *const by_columns[MO_MICRO_ROWS][MO_MICRO_VECTORS] = {
    COLUMNS_OF(1), COLUMNS_OF(2), COLUMNS_OF(3), COLUMNS_OF(4),
#if MO_MICRO_ROWS == 8
    COLUMNS_OF(5), COLUMNS_OF(6), COLUMNS_OF(7), COLUMNS_OF(8),
#endif
};

void mo__micro_rows(int64_t rows, int64_t n, int64_t K, mo_real alpha, const mo_real *a, int64_t lda,
                    const mo_real *b, mo_real beta, mo_real *c, int64_t ldc)
{
    by_rows[rows - 1][(n - 1) / MO_VECTOR](n, K, alpha, a, lda, b, beta, c, ldc);
}

void mo__micro_columns(int64_t rows, int64_t n, int64_t K, mo_real alpha, const mo_real *a, int64_t lda,
                       const mo_real *b, mo_real beta, mo_real *c, int64_t ldc)
{
    by_columns[rows - 1][(n - 1) / MO_VECTOR](n, K, alpha, a, lda, b, beta, c, ldc);
}

/* ---- packing ---- */

void mo__pack_rows(int64_t n, int64_t K, const mo_real *x, int64_t ldx, mo_real *to)
{
    int64_t width = mo__panel_width(n);
    if (n == MO_MICRO_COLUMNS) {
        for (int64_t k = 0; k < K; k++)
#pragma GCC unroll 3
            for (int j = 0; j < MO_MICRO_VECTORS; j++)
                *(mo_vector *)(to + k * width + j * MO_VECTOR) =
                    *(const mo_vector_at *)(x + k * ldx + j * MO_VECTOR);
        return;
    }
    for (int64_t k = 0; k < K; k++) {
        memcpy(to + k * width, x + k * ldx, (size_t)n * sizeof *to);
        memset(to + k * width + n, 0, (size_t)(width - n) * sizeof *to);
    }
}

typedef mo_real quad __attribute__((vector_size(4 * sizeof(mo_real))));
typedef mo_real quad_at
    __attribute__((vector_size(4 * sizeof(mo_real)), aligned(sizeof(mo_real)), may_alias));

/* to[k, j] = x[j, k] of 4 x 4 elements. */
INLINE void turn_quad(const mo_real *x, int64_t ldx, mo_real *to, int64_t width)
{
    quad a = *(const quad_at *)x, b = *(const quad_at *)(x + ldx), c = *(const quad_at *)(x + 2 * ldx),
         d = *(const quad_at *)(x + 3 * ldx);
    quad ab_low = __builtin_shufflevector(a, b, 0, 4, 1, 5),
         ab_high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
    quad cd_low = __builtin_shufflevector(c, d, 0, 4, 1, 5),
         cd_high = __builtin_shufflevector(c, d, 2, 6, 3, 7);
    *(quad_at *)to = __builtin_shufflevector(ab_low, cd_low, 0, 1, 4, 5);
    *(quad_at *)(to + width) = __builtin_shufflevector(ab_low, cd_low, 2, 3, 6, 7);
    *(quad_at *)(to + 2 * width) = __builtin_shufflevector(ab_high, cd_high, 0, 1, 4, 5);
    *(quad_at *)(to + 3 * width) = __builtin_shufflevector(ab_high, cd_high, 2, 3, 6, 7);
}

void mo__pack_columns(int64_t n, int64_t K, const mo_real *x, int64_t ldx, mo_real *to)
{
    enum { LINE = 16 }; /* elements along k that are read of each row at a time */
    int64_t width = mo__panel_width(n), n4 = n / 4 * 4;
    for (int64_t k0 = 0; k0 < K; k0 += LINE) {
        int64_t end = k0 + LINE < K ? k0 + LINE : K, end4 = k0 + (end - k0) / 4 * 4;
        for (int64_t j = 0; j < n4; j += 4)
            for (int64_t k = k0; k < end4; k += 4) turn_quad(x + j * ldx + k, ldx, to + k * width + j, width);
        for (int64_t k = k0; k < end; k++) {
            for (int64_t j = k < end4 ? n4 : 0; j < n; j++) to[k * width + j] = x[j * ldx + k];
            for (int64_t j = n; j < width; j++) to[k * width + j] = 0;
        }
    }
}
