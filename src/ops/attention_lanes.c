/* attention_lanes.c -- see attention_lanes.h. Compilers keep `sum` in registers: its indices are constants
 * once `rows` and `vectors` are. */
#include "ops/attention_lanes.h"

#define INLINE static inline __attribute__((always_inline))

/* ---- products ---- */

enum { HIGHEST = 2 * MO_MICRO_ROWS }; /* rows of a kernel of one vector */

/* Without the empty statement GCC works out the addresses of all rows beforehand, and runs out of registers.
 */
INLINE mo_real *next_row(mo_real *row, int64_t stride)
{
    row += stride;
    __asm__("" : "+r"(row));
    return row;
}

INLINE void product(int rows, int vectors, int64_t K, const mo_real *a, int64_t step_i, int64_t step_k,
                    const mo_real *b, int64_t ldb, bool add, mo_real *c, int64_t ldc)
{
    mo_vector sum[HIGHEST][MO_WIDE_VECTORS];
    mo_real *row = c;
#pragma GCC unroll 16
    for (int i = 0; i < rows; i++, row = next_row(row, ldc))
#pragma GCC unroll 4
        for (int j = 0; j < vectors; j++) {
            sum[i][j] = (mo_vector){0};
            if (add) sum[i][j] = *(const mo_vector_at *)(row + j * MO_LANE);
        }
    for (int64_t k = 0; k < K; k++) {
        mo_vector b_k[MO_WIDE_VECTORS];
#pragma GCC unroll 4
        for (int j = 0; j < vectors; j++) b_k[j] = *(const mo_vector *)(b + k * ldb + j * MO_LANE);
#pragma GCC unroll 16
        for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
            for (int j = 0; j < vectors; j++) sum[i][j] += a[i * step_i + k * step_k] * b_k[j];
    }
    row = c;
#pragma GCC unroll 16
    for (int i = 0; i < rows; i++, row = next_row(row, ldc))
#pragma GCC unroll 4
        for (int j = 0; j < vectors; j++) *(mo_vector_at *)(row + j * MO_LANE) = sum[i][j];
}

typedef void product_fn(int64_t K, const mo_real *a, int64_t lda, const mo_real *b, int64_t ldb, bool add,
                        mo_real *c, int64_t ldc);

/* rows_R_V and columns_R_V: R rows, V vectors. */
#define ROWS(R, V)                                                                                      \
    static void rows_##R##_##V(int64_t K, const mo_real *a, int64_t lda, const mo_real *b, int64_t ldb, \
                               bool add, mo_real *c, int64_t ldc)                                       \
    {                                                                                                   \
        product(R, V, K, a, lda, 1, b, ldb, add, c, ldc);                                               \
    }
#define COLUMNS(R, V)                                                                                      \
    static void columns_##R##_##V(int64_t K, const mo_real *a, int64_t lda, const mo_real *b, int64_t ldb, \
                                  bool add, mo_real *c, int64_t ldc)                                       \
    {                                                                                                      \
        product(R, V, K, a, 1, lda, b, ldb, add, c, ldc);                                                  \
    }
#define BOTH(R, V) ROWS(R, V) COLUMNS(R, V)
#define LOW(R)     BOTH(R, 1) BOTH(R, 2) BOTH(R, 3) ROWS(R, 4)
LOW(1)
LOW(2)
BOTH(4, 1)
BOTH(4, 2)
BOTH(4, 3)
#if MO_MICRO_ROWS == 8
BOTH(8, 3)
BOTH(12, 2)
BOTH(16, 1)
ROWS(4, 4)
ROWS(6, 4)
#else
BOTH(6, 2)
BOTH(8, 1)
ROWS(3, 4)
#endif

/* Kernels of falling numbers of rows, to 1; the first are those whose sums fill the registers. */
typedef struct height {
    int rows;
    product_fn *kernel;
} height;

#if MO_MICRO_ROWS == 8
#define HEIGHTS(form)                                                               \
    {                                                                               \
        {{16, form##_16_1}, {4, form##_4_1}, {2, form##_2_1}, {1, form##_1_1}},     \
            {{12, form##_12_2}, {4, form##_4_2}, {2, form##_2_2}, {1, form##_1_2}}, \
        {                                                                           \
            {8, form##_8_3}, {4, form##_4_3}, {2, form##_2_3},                      \
            {                                                                       \
                1, form##_1_3                                                       \
            }                                                                       \
        }                                                                           \
    }
static const height wide[] = {{6, rows_6_4}, {4, rows_4_4}, {2, rows_2_4}, {1, rows_1_4}};
#else
#define HEIGHTS(form)                                                             \
    {                                                                             \
        {{8, form##_8_1}, {4, form##_4_1}, {2, form##_2_1}, {1, form##_1_1}},     \
            {{6, form##_6_2}, {4, form##_4_2}, {2, form##_2_2}, {1, form##_1_2}}, \
        {                                                                         \
            {4, form##_4_3}, {2, form##_2_3},                                     \
            {                                                                     \
                1, form##_1_3                                                     \
            }                                                                     \
        }                                                                         \
    }
static const height wide[] = {{3, rows_3_4}, {2, rows_2_4}, {1, rows_1_4}};
#endif
static const height by_rows[MO_LANE_VECTORS][4] = HEIGHTS(rows);
static const height by_columns[MO_LANE_VECTORS][4] = HEIGHTS(columns);

void mo__lanes_rows(int64_t M, int vectors, int64_t K, const mo_real *a, int64_t lda, const mo_real *b,
                    int64_t ldb, bool add, mo_real *c, int64_t ldc)
{
    for (const height *h = vectors > MO_LANE_VECTORS ? wide : by_rows[vectors - 1]; M > 0; h++)
        for (; M >= h->rows; M -= h->rows, a += h->rows * lda, c += h->rows * ldc)
            h->kernel(K, a, lda, b, ldb, add, c, ldc);
}

void mo__lanes_columns(int64_t M, int vectors, int64_t K, const mo_real *a, int64_t lda, const mo_real *b,
                       int64_t ldb, bool add, mo_real *c, int64_t ldc)
{
    for (const height *h = by_columns[vectors - 1]; M > 0; h++)
        for (; M >= h->rows; M -= h->rows, a += h->rows, c += h->rows * ldc)
            h->kernel(K, a, lda, b, ldb, add, c, ldc);
}

/* ---- transposition ---- */

#ifndef MO_REAL_DOUBLE

typedef mo_real quad __attribute__((vector_size(16)));
typedef mo_real quad_at __attribute__((vector_size(16), aligned(sizeof(mo_real)), may_alias));

#define SHUFFLE __builtin_shufflevector

/* Columns 0..3 of rows 0, 4, 8 ... : the quads from which one in-lane turn makes whole columns. */
INLINE mo_vector quads_of(const mo_real *x, int64_t ldx)
{
#if MO_VECTOR_BYTES == 16
    (void)ldx;
    return *(const quad_at *)x;
#else
    typedef mo_real eight __attribute__((vector_size(32)));
    quad a = *(const quad_at *)x, b = *(const quad_at *)(x + 4 * ldx);
    eight ab = SHUFFLE(a, b, 0, 1, 2, 3, 4, 5, 6, 7);
#if MO_VECTOR_BYTES == 32
    return ab;
#else
    quad c = *(const quad_at *)(x + 8 * ldx), d = *(const quad_at *)(x + 12 * ldx);
    eight cd = SHUFFLE(c, d, 0, 1, 2, 3, 4, 5, 6, 7);
    return SHUFFLE(ab, cd, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
#endif
#endif
}

/* Within every four elements. */
#if MO_VECTOR_BYTES == 64
#define IN_LANE(a, b, i, j, k, l)                                                                     \
    SHUFFLE(a, b, i, j, k, l, (i) + 4, (j) + 4, (k) + 4, (l) + 4, (i) + 8, (j) + 8, (k) + 8, (l) + 8, \
            (i) + 12, (j) + 12, (k) + 12, (l) + 12)
#define OTHER 16
#elif MO_VECTOR_BYTES == 32
#define IN_LANE(a, b, i, j, k, l) SHUFFLE(a, b, i, j, k, l, (i) + 4, (j) + 4, (k) + 4, (l) + 4)
#define OTHER                     8
#else
#define IN_LANE(a, b, i, j, k, l) SHUFFLE(a, b, i, j, k, l)
#define OTHER                     4
#endif

/* to[j, 0 .. MO_LANE] = x[0 .. MO_LANE, j], j < 4. */
INLINE void turn_quads(const mo_real *x, int64_t ldx, mo_real *to, int64_t ldto)
{
    mo_vector a = quads_of(x, ldx), b = quads_of(x + ldx, ldx), c = quads_of(x + 2 * ldx, ldx),
              d = quads_of(x + 3 * ldx, ldx);
    mo_vector ab_low = IN_LANE(a, b, 0, OTHER, 1, OTHER + 1),
              ab_high = IN_LANE(a, b, 2, OTHER + 2, 3, OTHER + 3);
    mo_vector cd_low = IN_LANE(c, d, 0, OTHER, 1, OTHER + 1),
              cd_high = IN_LANE(c, d, 2, OTHER + 2, 3, OTHER + 3);
    *(mo_vector_at *)to = IN_LANE(ab_low, cd_low, 0, 1, OTHER, OTHER + 1);
    *(mo_vector_at *)(to + ldto) = IN_LANE(ab_low, cd_low, 2, 3, OTHER + 2, OTHER + 3);
    *(mo_vector_at *)(to + 2 * ldto) = IN_LANE(ab_high, cd_high, 0, 1, OTHER, OTHER + 1);
    *(mo_vector_at *)(to + 3 * ldto) = IN_LANE(ab_high, cd_high, 2, 3, OTHER + 2, OTHER + 3);
}

void mo__turn(int64_t rows, int64_t columns, const mo_real *x, int64_t ldx, mo_real *to, int64_t ldto)
{
    int64_t i = 0;
    for (; i + MO_LANE <= rows; i += MO_LANE) {
        int64_t j = 0;
        for (; j + 4 <= columns; j += 4) turn_quads(x + i * ldx + j, ldx, to + j * ldto + i, ldto);
        for (; j < columns; j++)
            for (int64_t r = i; r < i + MO_LANE; r++) to[j * ldto + r] = x[r * ldx + j];
    }
    for (; i < rows; i++)
        for (int64_t j = 0; j < columns; j++) to[j * ldto + i] = x[i * ldx + j];
}

#else

void mo__turn(int64_t rows, int64_t columns, const mo_real *x, int64_t ldx, mo_real *to, int64_t ldto)
{
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++) to[j * ldto + i] = x[i * ldx + j];
}

#endif
