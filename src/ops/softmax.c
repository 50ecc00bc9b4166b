/* softmax.c -- over the last dimension
 *   p_e = exp(z_e - max z) / sum_j exp(z_j - max z)        dz_e = p_e (dp_e - sum_j dp_j p_j)
 * z_NE in, p_NE out; backward reads p.
 * Threads: over rows. */
#include "ops/kernels.h"

static void softmax_fwd(mo_real *p_NE, const mo_real *z_NE, int64_t N, int64_t E)
{
#pragma omp parallel for schedule(static)
    for (int64_t n = 0; n < N; n++) {
        const mo_real *z = z_NE + n * E;
        mo_real *p = p_NE + n * E, max = mo_row_max(z, E), sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int64_t e = 0; e < E; e++) sum += p[e] = mo_exp(z[e] - max);
        mo_real scale = 1 / sum;
#pragma omp simd
        for (int64_t e = 0; e < E; e++) p[e] *= scale;
    }
}

static void softmax_bwd(mo_real *dz_NE, const mo_real *dp_NE, const mo_real *p_NE, bool accumulate, int64_t N,
                        int64_t E)
{
#pragma omp parallel for schedule(static)
    for (int64_t n = 0; n < N; n++) {
        const mo_real *p = p_NE + n * E, *dp = dp_NE + n * E;
        mo_real *dz = dz_NE + n * E, dot = mo_row_dot(dp, p, E);
#pragma omp simd
        for (int64_t e = 0; e < E; e++) dz[e] = (accumulate ? dz[e] : 0) + p[e] * (dp[e] - dot);
    }
}

static mo_status softmax_shape(mo_node *node)
{
    const mo_tensor *z = node->in[0];
    if (z->dtype != MO_REAL || z->ndim != 2)
        return mo_error(MO_E_SHAPE, "softmax: z %s; expected [N, E]", mo_shape(z).text);
    return mo_node_output(node, "", MO_REAL, 2, z->dim);
}

static void softmax_forward(const mo_node *node, const mo_run *run)
{
    (void)run;
    const mo_tensor *z = node->in[0];
    softmax_fwd(node->out[0]->data, z->data, z->dim[0], z->dim[1]);
}

static void softmax_backward(const mo_node *node, const mo_run *run)
{
    (void)run;
    const mo_tensor *p = node->out[0];
    softmax_bwd(node->in[0]->grad, p->grad, p->data, node->accumulate[0], p->dim[0], p->dim[1]);
}

static mo_cost softmax_cost(const mo_node *node, mo_phase phase)
{
    double n = (double)mo_tensor_count(node->in[0]);
    return phase == MO_FORWARD ? (mo_cost){16 * n, 2 * n * sizeof(mo_real)}
                               : (mo_cost){5 * n, (3 + node->accumulate[0]) * n * sizeof(mo_real)};
}

const mo_op mo__op_softmax = {.name = "softmax",
                              .shape = softmax_shape,
                              .forward = softmax_forward,
                              .backward = softmax_backward,
                              .needs_out = MO_NEEDS(0),
                              .cost = softmax_cost};

mo_tensor *mo_softmax(mo_graph *g, mo_tensor *z_NE)
{
    mo_node *node = mo_graph_node(g, &mo__op_softmax, 1, &z_NE, NULL, 0);
    return node ? node->out[0] : NULL;
}
