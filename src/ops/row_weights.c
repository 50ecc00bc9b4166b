/* row_weights.c -- the weights of choices in the order of the experts' rows
 *   wr_r = w_nk where row_nk = r, 0 past the last row        dw_nk = dwr_[row_nk], 0 without a row
 * w_NK, row_NK and token_R (see dispatch.c) in, wr_R out; backward reads row_NK.
 * Threads: over rows, backward over tokens. */
#include "ops/map_rows.h"

static void row_weights_fwd(mo_real *wr_R, const mo_real *w_NK, const int32_t *row_NK, const int32_t *token_R,
                            int64_t R, int64_t K)
{
#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < R; r++) {
        int64_t first = token_R[r] * K;
        wr_R[r] = token_R[r] < 0 ? 0 : w_NK[first + mo__choice_of(row_NK + first, r, K)];
    }
}

static void row_weights_bwd(mo_real *dw_NK, const mo_real *dwr_R, const int32_t *row_NK, bool accumulate,
                            int64_t choices)
{
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < choices; i++)
        dw_NK[i] = (accumulate ? dw_NK[i] : 0) + (row_NK[i] < 0 ? 0 : dwr_R[row_NK[i]]);
}

static mo_status row_weights_shape(mo_node *node)
{
    const mo_tensor *w = node->in[0], *row = node->in[1];
    if (w->dtype != MO_REAL || w->ndim != 2 || w->dim[0] != row->dim[0] || w->dim[1] != row->dim[1])
        return mo_error(MO_E_SHAPE,
                        "row_weights: weights %s and a map of rows %s do not fit; expected two [N, K]",
                        mo_shape(w).text, mo_shape(row).text);
    return mo_node_output(node, "", MO_REAL, 1, node->in[2]->dim);
}

static void row_weights_forward(const mo_node *node, const mo_run *run)
{
    (void)run;
    const mo_tensor *w = node->in[0], *token = node->in[2];
    row_weights_fwd(node->out[0]->data, w->data, node->in[1]->data, token->data, token->dim[0], w->dim[1]);
}

static void row_weights_backward(const mo_node *node, const mo_run *run)
{
    (void)run;
    const mo_tensor *w = node->in[0];
    row_weights_bwd(w->grad, node->out[0]->grad, node->in[1]->data, node->accumulate[0], mo_tensor_count(w));
}

static mo_cost row_weights_cost(const mo_node *node, mo_phase phase)
{
    (void)phase;
    double choices = (double)mo_tensor_count(node->in[0]);
    return (mo_cost){0, choices * (2 * sizeof(mo_real) + sizeof(int32_t))};
}

const mo_op mo__op_row_weights = {.name = "row_weights",
                                  .shape = row_weights_shape,
                                  .forward = row_weights_forward,
                                  .backward = row_weights_backward,
                                  .needs_in = MO_NEEDS(1),
                                  .cost = row_weights_cost};

mo_tensor *mo_row_weights(mo_graph *g, mo_tensor *w_NK, const mo_dispatch_map *map)
{
    mo_tensor *in[] = {w_NK, map->row_NK, map->token_R};
    mo_node *node = mo_graph_node(g, &mo__op_row_weights, 3, in, NULL, 0);
    return node ? node->out[0] : NULL;
}
