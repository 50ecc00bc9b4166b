/* row_shares.c -- scores as shares of their sum (DeepSeek-V3, arXiv:2412.19437, eq. 19)
 *   p_e = s_e / S, S = sum_j s_j + 1e-20        ds_e = (dp_e - sum_j dp_j p_j) / S
 * s_NE >= 0 in, p_NE out; backward reads s. Where all s are 0, all p are.
 * Threads: over rows. */
#include "ops/kernels.h"

static mo_real row_total(const mo_real *s, int64_t E)
{
    mo_real sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t e = 0; e < E; e++) sum += s[e];
    return sum + MO_SUM_FLOOR;
}

static void row_shares_fwd(mo_real *p_NE, const mo_real *s_NE, int64_t N, int64_t E)
{
#pragma omp parallel for schedule(static)
    for (int64_t n = 0; n < N; n++) {
        const mo_real *s = s_NE + n * E;
        mo_real *p = p_NE + n * E, total = row_total(s, E);
#pragma omp simd
        for (int64_t e = 0; e < E; e++) p[e] = s[e] / total;
    }
}

static void row_shares_bwd(mo_real *ds_NE, const mo_real *dp_NE, const mo_real *s_NE, bool accumulate,
                           int64_t N, int64_t E)
{
#pragma omp parallel for schedule(static)
    for (int64_t n = 0; n < N; n++) {
        const mo_real *s = s_NE + n * E, *dp = dp_NE + n * E;
        mo_real *ds = ds_NE + n * E, total = row_total(s, E), dot = mo_row_dot(dp, s, E) / total;
#pragma omp simd
        for (int64_t e = 0; e < E; e++) ds[e] = (accumulate ? ds[e] : 0) + (dp[e] - dot) / total;
    }
}

static mo_status row_shares_shape(mo_node *node)
{
    const mo_tensor *s = node->in[0];
    if (s->dtype != MO_REAL || s->ndim != 2)
        return mo_error(MO_E_SHAPE, "row_shares: scores %s; expected [N, E]", mo_shape(s).text);
    return mo_node_output(node, "", MO_REAL, 2, s->dim);
}

static void row_shares_forward(const mo_node *node, const mo_run *run)
{
    (void)run;
    const mo_tensor *s = node->in[0];
    row_shares_fwd(node->out[0]->data, s->data, s->dim[0], s->dim[1]);
}

static void row_shares_backward(const mo_node *node, const mo_run *run)
{
    (void)run;
    const mo_tensor *s = node->in[0];
    row_shares_bwd(s->grad, node->out[0]->grad, s->data, node->accumulate[0], s->dim[0], s->dim[1]);
}

static mo_cost row_shares_cost(const mo_node *node, mo_phase phase)
{
    double n = (double)mo_tensor_count(node->in[0]);
    return phase == MO_FORWARD ? (mo_cost){2 * n, 2 * n * sizeof(mo_real)}
                               : (mo_cost){5 * n, (3 + node->accumulate[0]) * n * sizeof(mo_real)};
}

const mo_op mo__op_row_shares = {.name = "row_shares",
                                 .shape = row_shares_shape,
                                 .forward = row_shares_forward,
                                 .backward = row_shares_backward,
                                 .needs_in = MO_NEEDS(0),
                                 .flags = MO_OP_CHEAP,
                                 .cost = row_shares_cost};

mo_tensor *mo_row_shares(mo_graph *g, mo_tensor *s_NE)
{
    mo_node *node = mo_graph_node(g, &mo__op_row_shares, 1, &s_NE, NULL, 0);
    return node ? node->out[0] : NULL;
}
