/* blas_reference.c -- the product in plain C, for builds that check threads or memory with tools that cannot
 * see into OpenBLAS (-DMO_BLAS_REFERENCE). Sums over k in order. */
#ifdef MO_BLAS_REFERENCE

#include "tensor/blas.h"

mo_status mo_blas_init(void)
{
    return MO_OK;
}
const char *mo_blas_describe(void)
{
    return "reference loops";
}

void mo__blas_gemm(bool trans_a, bool trans_b, int64_t M, int64_t N, int64_t K, mo_real alpha,
                   const mo_real *A, int64_t lda, const mo_real *B, int64_t ldb, mo_real beta, mo_real *C,
                   int64_t ldc)
{
    for (int64_t i = 0; i < M; i++) {
        mo_real *c = C + i * ldc;
        for (int64_t j = 0; j < N; j++) c[j] = beta == MO_C(0) ? MO_C(0) : beta * c[j];
        for (int64_t k = 0; k < K; k++) {
            mo_real a = alpha * (trans_a ? A[k * lda + i] : A[i * lda + k]);
            const mo_real *b = trans_b ? B + k : B + k * ldb;
            int64_t stride = trans_b ? ldb : 1;
            for (int64_t j = 0; j < N; j++) c[j] += a * b[j * stride];
        }
    }
}

#else
typedef int mo_blas_reference_is_off;
#endif
