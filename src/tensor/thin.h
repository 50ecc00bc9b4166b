/* thin.h -- a row or a few against many stored rows: what decoding does. */
#ifndef MOIRA_TENSOR_THIN_H
#define MOIRA_TENSOR_THIN_H

#include "moira/tensor.h"

/* Rows up to which a product is thin: beyond, packing W pays. */
enum { MO__THIN_ROWS = 16 };

/* y[M,N] = alpha x[M,K] W[N,K]^T + beta y on the calling thread; W holds mo_real (MO_REAL) or a file's
 * numbers, aligned to nothing; ldx, ldw, ldy: elements between rows; beta 0 does not read y. Any M; the bits
 * of an element depend on its row of x, its row of W and K alone. */
void mo__thin_nt(int64_t M, int64_t N, int64_t K, mo_real alpha, const mo_real *x, int64_t ldx,
                 mo_dtype dtype, const void *W, int64_t ldw, mo_real beta, mo_real *y, int64_t ldy);

/* The same by all threads. */
void mo__thin_product(int64_t M, int64_t N, int64_t K, mo_real alpha, const mo_real *x, int64_t ldx,
                      mo_dtype dtype, const void *W, int64_t ldw, mo_real beta, mo_real *y, int64_t ldy);

/* MO_GROUP_NT (tensor.h) by all threads; dtype and matrix(W, e): how and where expert e's W [O,I] lies. */
typedef const void *mo__thin_matrix(const void *W, int64_t e, int64_t elements);
void mo__thin_grouped(int64_t E, const int32_t *offsets_E1, int64_t O, int64_t I, const mo_real *X,
                      mo_dtype dtype, const void *W, mo__thin_matrix *matrix, mo_real beta, mo_real *Y);
/* Whether no expert has more than MO__THIN_ROWS rows. */
bool mo__thin_groups(int64_t E, const int32_t *offsets_E1);

#endif
