/* tensor.h -- numbers and the kernels under every op: the element type, matrix products, row kernels.
 *
 * mo_real is the type that everything is computed in: float, or double when the library is built with
 * MO_REAL_DOUBLE (gradient checks). Matrices are row-major and dense except for a leading dimension.
 *
 * Threads: mo_gemm and mo_gemm_grouped start one OpenMP team and cut their output into tiles that depend on
 * the shapes alone, so results are the same bits for any number of threads. mo_gemm_tile is the same product
 * on the calling thread, for use inside a parallel region. */
#ifndef MOIRA_TENSOR_H
#define MOIRA_TENSOR_H

#include "moira/base.h"

#ifdef __cplusplus
extern "C" {
#endif

#ifdef MO_REAL_DOUBLE
typedef double mo_real;
#else
typedef float mo_real;
#endif
#define MO_C(constant) ((mo_real)(constant))

/* Element types of values in a graph and of parameters. MO_REAL is mo_real. */
typedef enum mo_dtype { MO_REAL, MO_F64, MO_I32, MO_F32, MO_F16, MO_BF16 } mo_dtype;
size_t mo_dtype_size(mo_dtype dtype);
const char *mo_dtype_name(mo_dtype dtype); /* "float32", ... */

/* Weights as they lie in a file that is mapped into memory: a matrix, or a stack whose matrices lie apart. */
typedef struct mo_stored {
    mo_dtype dtype;          /* MO_F32, MO_F16, MO_BF16 */
    int64_t parts;           /* matrices: 1, or one for each expert */
    int64_t part_elements;   /* of each matrix, row-major without gaps */
    const void *const *part; /* [parts] borrowed; little-endian, aligned to nothing */
} mo_stored;
/* out[count] = elements first .. first + count of a part; exact. */
void mo_stored_expand(const mo_stored *s, int64_t part, int64_t first, int64_t count, mo_real *out);
/* The other way, to the nearest value, ties to even; NaN stays NaN. out: count * mo_dtype_size(dtype) bytes,
 * aligned to nothing. */
void mo_narrow(mo_dtype dtype, const mo_real *x, int64_t count, void *out);

/* Loads OpenBLAS (once; later calls return the first result). Must succeed before any product.
 * MO_E_UNSUPPORTED if it is missing or not the OpenMP variant. Picks the AVX-512 kernels where the processor
 * has AVX-512 and OpenBLAS does not know the processor by name. */
mo_status mo_blas_init(void);
const char *mo_blas_describe(void); /* "OpenBLAS 0.3.21 (openmp), kernel SkylakeX"; static text */

/* C[M,N] = alpha * op(A) op(B) + beta * C, op(A) is [M,K], op(B) is [K,N]; trans says that the stored matrix
 * is the transpose. lda, ldb, ldc: elements between stored rows. beta 0 does not read C. */
void mo_gemm(bool trans_a, bool trans_b, int64_t M, int64_t N, int64_t K, mo_real alpha, const mo_real *A,
             int64_t lda, const mo_real *B, int64_t ldb, mo_real beta, mo_real *C, int64_t ldc);
/* The same on the calling thread alone, inside or outside a parallel region. */
void mo_gemm_tile(bool trans_a, bool trans_b, int64_t M, int64_t N, int64_t K, mo_real alpha,
                  const mo_real *A, int64_t lda, const mo_real *B, int64_t ldb, mo_real beta, mo_real *C,
                  int64_t ldc);

/* E products over rows sorted by expert; expert e owns rows offsets[e] .. offsets[e+1] (offsets_E1[0] = 0).
 *   MO_GROUP_NT: Y[r,:O]  = X[r,:I] W_e[O,I]^T (+ beta Y)    forward
 *   MO_GROUP_NN: Y[r,:I]  = X[r,:O] W_e[O,I]   (+ beta Y)    gradient of the input
 *   MO_GROUP_TN: W_e[O,I] = sum_r X[r,:O]^T Y[r,:I] + beta W_e   gradient of the weight; an expert without
 *                rows gets beta W_e
 * W is [E,O,I]; rows of X and Y are dense (leading dimension = their width). */
typedef enum mo_group_form { MO_GROUP_NT, MO_GROUP_NN, MO_GROUP_TN } mo_group_form;
void mo_gemm_grouped(mo_group_form form, int64_t E, const int32_t *offsets_E1, int64_t O, int64_t I,
                     const mo_real *X, mo_real *Y, mo_real *W, mo_real beta);
/* NT and NN with a stored W, whose elements lie in the order of [E,O,I]. */
void mo_gemm_stored(mo_group_form form, int64_t E, const int32_t *offsets_E1, int64_t O, int64_t I,
                    const mo_real *X, mo_real *Y, const mo_stored *W, mo_real beta);

#ifdef __cplusplus
}
#endif
#endif
