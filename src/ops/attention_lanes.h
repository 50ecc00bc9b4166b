/* attention_lanes.h -- arithmetic on blocks that are LANES columns wide: attention keeps queries (forward) or
 * keys (backward) side by side in the lanes of vectors, so that what belongs to one of them is elementwise.
 *
 * A block is [rows, MO_LANES], 64-byte aligned, rows one after the other. Products read the left side where
 * it lies. Every element of a result is one chain of fused additions along the sum, from what it was on if it
 * is added to, so its bits do not depend on how rows, lanes and the sum are cut. */
#ifndef MOIRA_OPS_ATTENTION_LANES_H
#define MOIRA_OPS_ATTENTION_LANES_H

#include "ops/kernels.h"
#include "tensor/microkernel.h"

enum {
    MO_LANE_VECTORS = MO_MICRO_VECTORS,
    MO_LANE = MO_VECTOR_BYTES / sizeof(mo_real), /* lanes of a vector */
    MO_LANES = MO_LANE_VECTORS * MO_LANE,
    MO_LANE_ROWS = MO_MICRO_ROWS, /* rows that a product makes at a time */
    MO_WIDE_VECTORS = MO_LANE_VECTORS + 1
};

#ifdef MO_REAL_DOUBLE
typedef int64_t mo__lane_int;
#else
typedef int32_t mo__lane_int;
#endif
typedef mo__lane_int mo__lane_ints __attribute__((vector_size(MO_VECTOR_BYTES)));

/* c[M, vectors] = (c if add) + a b, a_ik = a[i lda + k], for rows of `vectors` <= MO_WIDE_VECTORS vectors. */
void mo__lanes_rows(int64_t M, int vectors, int64_t K, const mo_real *a, int64_t lda, const mo_real *b,
                    int64_t ldb, bool add, mo_real *c, int64_t ldc);
/* The same with a_ik = a[k lda + i], vectors <= MO_LANE_VECTORS. */
void mo__lanes_columns(int64_t M, int vectors, int64_t K, const mo_real *a, int64_t lda, const mo_real *b,
                       int64_t ldb, bool add, mo_real *c, int64_t ldc);

/* How a length is cut into blocks of at most MO_LANES: whole vectors, and none of one vector beside others,
 * for which there are no fast products. Block r is [mo__lanes_begin(r), mo__lanes_begin(r + 1)). */
static inline int64_t mo__lanes_count(int64_t length)
{
    return (length + MO_LANES - 1) / MO_LANES;
}
static inline int64_t mo__lanes_begin(int64_t length, int64_t r)
{
    int64_t vectors = (length + MO_LANE - 1) / MO_LANE, count = mo__lanes_count(length);
    int64_t shorter = r == count - 1 && count > 1 && vectors % MO_LANE_VECTORS == 1;
    return mo_min(r * MO_LANES - shorter * MO_LANE, length);
}

/* to[j, i] = x[i, j], x of `rows` x `columns`. */
void mo__turn(int64_t rows, int64_t columns, const mo_real *x, int64_t ldx, mo_real *to, int64_t ldto);

/* Asks for rows [t0, t1) of d numbers before they are needed. */
static inline void mo__want_rows(const mo_real *x, int64_t stride, int64_t t0, int64_t t1, int64_t d)
{
    enum { LINE = 64 / sizeof(mo_real) };
    for (int64_t t = t0; t < t1; t++)
        for (int64_t c = 0; c < d; c += LINE) __builtin_prefetch(x + t * stride + c, 0);
}
/* The same, to be written. */
static inline void mo__want_rows_to_write(const mo_real *x, int64_t stride, int64_t t0, int64_t t1, int64_t d)
{
    enum { LINE = 64 / sizeof(mo_real) };
    for (int64_t t = t0; t < t1; t++)
        for (int64_t c = 0; c < d; c += LINE) __builtin_prefetch(x + t * stride + c, 1);
}

static inline mo_vector *mo__lane_at(mo_real *row, int v)
{
    return (mo_vector *)row + v;
}

/* x where keep is -1, else 0. */
static inline mo_vector mo__lane_keep(mo__lane_ints keep, mo_vector x)
{
    return (mo_vector)((mo__lane_ints)x & keep);
}

/* a where which is -1, b where it is 0. */
static inline mo_vector mo__lane_choose(mo__lane_ints which, mo_vector a, mo_vector b)
{
    return (mo_vector)(((mo__lane_ints)a & which) | ((mo__lane_ints)b & ~which));
}

/* b where a is NaN. */
static inline mo_vector mo__lane_max(mo_vector a, mo_vector b)
{
    return mo__lane_choose(a > b, a, b);
}

/* 2^x for x below 128; 0 below -126; NaN for NaN. In float 2^n 2^f, n = rint(x), 2^f by a polynomial of
 * degree 5 that is 1 at 0 (minimax of the relative error on [-1/2, 1/2]); relative error below 1.7e-7 in all.
 */
static inline mo_vector mo__lane_exp2(mo_vector x)
{
#ifdef MO_REAL_DOUBLE
    mo_vector y;
    for (int j = 0; j < MO_LANE; j++) y[j] = exp2(x[j]);
    return y;
#else
    /* Adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits. */
    mo_vector shifted = x + 12582912.0f, f = x - (shifted - 12582912.0f);
    mo_vector p = 1.3264727e-3f * f + 9.671513e-3f;
    p = p * f + 5.5507336e-2f;
    p = p * f + 2.4022242e-1f;
    p = p * f + 6.93147e-1f;
    p = p * f + 1.0f;
    typedef uint32_t words __attribute__((vector_size(MO_VECTOR_BYTES))); /* sums may wrap */
    words scaled = (words)p + ((words)shifted << 23);
    return mo__lane_keep(~(x < -126.0f), (mo_vector)scaled);
#endif
}

#endif
