/* blas.h -- the one product that BLAS computes for us, on the calling thread. */
#ifndef MOIRA_TENSOR_BLAS_H
#define MOIRA_TENSOR_BLAS_H

#include "moira/tensor.h"

/* mo_gemm_tile's arithmetic; mo_blas_init must have succeeded. M, N, K >= 1. */
void mo__blas_gemm(bool trans_a, bool trans_b, int64_t M, int64_t N, int64_t K, mo_real alpha,
                   const mo_real *A, int64_t lda, const mo_real *B, int64_t ldb, mo_real beta, mo_real *C,
                   int64_t ldc);

#endif
