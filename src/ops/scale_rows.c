/* scale_rows.c -- each row times a number of its own
 *   y_n = w_n x_n        dx_n = w_n dy_n        dw_n = sum_i dy_ni x_ni
 * x_NI and w_N in, y_NI out; backward reads both. Threads: over rows. */
#include "ops/kernels.h"

static void scale_rows_fwd(mo_real *y_NI, const mo_real *x_NI, const mo_real *w_N, int64_t N, int64_t I)
{
#pragma omp parallel for schedule(static)
    for (int64_t n = 0; n < N; n++) {
        const mo_real *x = x_NI + n * I;
        mo_real *y = y_NI + n * I, w = w_N[n];
#pragma omp simd
        for (int64_t i = 0; i < I; i++) y[i] = w * x[i];
    }
}

/* dx_NI and dw_N may be NULL. accumulate: of x, of w. */
static void scale_rows_bwd(mo_real *dx_NI, mo_real *dw_N, const mo_real *dy_NI, const mo_real *x_NI,
                           const mo_real *w_N, const bool *accumulate, int64_t N, int64_t I)
{
#pragma omp parallel for schedule(static)
    for (int64_t n = 0; n < N; n++) {
        const mo_real *dy = dy_NI + n * I, *x = x_NI + n * I;
        if (dw_N) dw_N[n] = (accumulate[1] ? dw_N[n] : 0) + mo_row_dot(dy, x, I);
        if (!dx_NI) continue;
        mo_real *dx = dx_NI + n * I, w = w_N[n];
#pragma omp simd
        for (int64_t i = 0; i < I; i++) dx[i] = (accumulate[0] ? dx[i] : 0) + w * dy[i];
    }
}

static mo_status scale_rows_shape(mo_node *node)
{
    const mo_tensor *x = node->in[0], *w = node->in[1];
    if (x->dtype != MO_REAL || w->dtype != MO_REAL || x->ndim != 2 || w->ndim != 1 || w->dim[0] != x->dim[0])
        return mo_error(MO_E_SHAPE, "scale_rows: x %s and weights %s do not fit; expected [N, I] and [N]",
                        mo_shape(x).text, mo_shape(w).text);
    return mo_node_output(node, "", MO_REAL, 2, x->dim);
}

static void scale_rows_forward(const mo_node *node, const mo_run *run)
{
    (void)run;
    const mo_tensor *x = node->in[0];
    scale_rows_fwd(node->out[0]->data, x->data, node->in[1]->data, x->dim[0], x->dim[1]);
}

static void scale_rows_backward(const mo_node *node, const mo_run *run)
{
    (void)run;
    const mo_tensor *x = node->in[0], *w = node->in[1];
    scale_rows_bwd(x->grad, w->grad, node->out[0]->grad, x->data, w->data, node->accumulate, x->dim[0],
                   x->dim[1]);
}

static mo_cost scale_rows_cost(const mo_node *node, mo_phase phase)
{
    double n = (double)mo_tensor_count(node->in[0]);
    return phase == MO_FORWARD ? (mo_cost){n, 2 * n * sizeof(mo_real)}
                               : (mo_cost){3 * n, 3 * n * sizeof(mo_real)};
}

const mo_op mo__op_scale_rows = {.name = "scale_rows",
                                 .shape = scale_rows_shape,
                                 .forward = scale_rows_forward,
                                 .backward = scale_rows_backward,
                                 .needs_in = MO_NEEDS(0) | MO_NEEDS(1),
                                 .flags = MO_OP_CHEAP,
                                 .cost = scale_rows_cost};

mo_tensor *mo_scale_rows(mo_graph *g, mo_tensor *x_NI, mo_tensor *w_N)
{
    mo_node *node = mo_graph_node(g, &mo__op_scale_rows, 2, (mo_tensor *[]){x_NI, w_N}, NULL, 0);
    return node ? node->out[0] : NULL;
}
