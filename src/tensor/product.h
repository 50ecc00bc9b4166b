/* product.h -- a product on one thread, whose right side may lie in a file. */
#ifndef MOIRA_TENSOR_PRODUCT_H
#define MOIRA_TENSOR_PRODUCT_H

#include "moira/tensor.h"

/* A matrix of any element type; MO_REAL is read in place, others are expanded as they are packed. */
typedef struct mo__source {
    const void *at;
    mo_dtype dtype;
} mo__source;

/* The source `elements` further on. */
static inline mo__source mo__source_from(mo__source s, int64_t elements)
{
    return (mo__source){(const unsigned char *)s.at + elements * (int64_t)mo_dtype_size(s.dtype), s.dtype};
}

/* mo_gemm_tile with such a B. */
void mo__product(bool trans_a, bool trans_b, int64_t M, int64_t N, int64_t K, mo_real alpha, const mo_real *A,
                 int64_t lda, mo__source B, int64_t ldb, mo_real beta, mo_real *C, int64_t ldc);

#endif
