/* weight.h -- products with a weight [O, I] wherever it lies: in memory, or in a file. */
#ifndef MOIRA_OPS_WEIGHT_H
#define MOIRA_OPS_WEIGHT_H

#include "moira/autograd.h"

/* y_NO = x_NI w^T */
static inline void mo__weight_nt(const mo_tensor *w, int64_t N, const mo_real *x, mo_real *y)
{
    int64_t O = w->dim[0], I = w->dim[1];
    if (w->stored)
        mo_gemm_stored(MO_GROUP_NT, 1, (int32_t[]){0, (int32_t)N}, O, I, x, y, w->stored, 0);
    else
        mo_gemm(false, true, N, O, I, 1, x, I, w->data, I, 0, y, O);
}

/* dx_NI = dy_NO w (+ dx_NI) */
static inline void mo__weight_nn(const mo_tensor *w, int64_t N, const mo_real *dy, bool accumulate,
                                 mo_real *dx)
{
    int64_t O = w->dim[0], I = w->dim[1];
    if (w->stored)
        mo_gemm_stored(MO_GROUP_NN, 1, (int32_t[]){0, (int32_t)N}, O, I, dy, dx, w->stored, accumulate);
    else
        mo_gemm(false, false, N, I, O, 1, dy, O, w->data, I, accumulate, dx, I);
}

#endif
