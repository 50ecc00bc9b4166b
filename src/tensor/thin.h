/* thin.h -- a row or a few against many stored rows: what decoding does. */
#ifndef MOIRA_TENSOR_THIN_H
#define MOIRA_TENSOR_THIN_H

#include "moira/tensor.h"

/* Rows up to which a product is thin: beyond, packing W pays. */
enum { MO__THIN_ROWS = 16 };
static inline bool mo__is_thin(bool trans_a, bool trans_b, int64_t M)
{
    return M <= MO__THIN_ROWS && !trans_a && trans_b;
}

/* y[M,N] = alpha x[M,K] W[N,K]^T + beta y on the calling thread; W holds mo_real (MO_REAL) or a file's
 * numbers, aligned to nothing; ldx, ldw, ldy: elements between rows; beta 0 does not read y. Any M; the bits
 * of an element depend on its row of x, its row of W and K alone. */
void mo__thin_nt(int64_t M, int64_t N, int64_t K, mo_real alpha, const mo_real *x, int64_t ldx,
                 mo_dtype dtype, const void *W, int64_t ldw, mo_real beta, mo_real *y, int64_t ldy);

#endif
