/* combine.c -- a token's output: the sum of its rows
 *   out_n = sum_k y_[row_nk], in the order of k        dy_r = dout_[token_r], 0 past the last row
 * y_RD, row_NK and token_R (see dispatch.c) in, out_ND out, 0 where a token has no row. Backward reads
 * token_R. Rows have their weights already (row_weights.c): an expert's last matrix is linear, W2 (w h) = w
 * (W2 h), and before it they cost nothing and y need not stay for their gradient. Threads: forward over
 * tokens, backward over rows: a row belongs to one token. */
#include "ops/map_rows.h"

static void combine_fwd(mo_real *out_ND, const mo_real *y_RD, const int32_t *row_NK, int64_t N, int64_t K,
                        int64_t D)
{
#pragma omp parallel for schedule(static)
    for (int64_t n = 0; n < N; n++) mo__sum_rows(out_ND + n * D, y_RD, row_NK + n * K, false, K, D);
}

static void combine_bwd(mo_real *dy_RD, const mo_real *dout_ND, const int32_t *token_R, bool accumulate,
                        int64_t R, int64_t D)
{
#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < R; r++) {
        mo_real *dy = dy_RD + r * D;
        if (!accumulate)
            mo__take_row(dy, dout_ND, token_R[r], D);
        else if (token_R[r] >= 0)
            mo__add_row(dy, dout_ND + token_R[r] * D, D);
    }
}

static mo_status combine_shape(mo_node *node)
{
    const mo_tensor *y = node->in[0], *row = node->in[1], *token = node->in[2];
    if (y->dtype != MO_REAL || y->ndim != 2 || y->dim[0] != token->dim[0])
        return mo_error(MO_E_SHAPE, "combine: y %s does not fit a map of %lld rows; expected [%lld, D]",
                        mo_shape(y).text, (long long)token->dim[0], (long long)token->dim[0]);
    return mo_node_output(node, "", MO_REAL, 2, (int64_t[]){row->dim[0], y->dim[1]});
}

static void combine_forward(const mo_node *node, const mo_run *run)
{
    (void)run;
    const mo_tensor *y = node->in[0], *row = node->in[1];
    combine_fwd(node->out[0]->data, y->data, row->data, row->dim[0], row->dim[1], y->dim[1]);
}

static void combine_backward(const mo_node *node, const mo_run *run)
{
    (void)run;
    const mo_tensor *y = node->in[0];
    combine_bwd(y->grad, node->out[0]->grad, node->in[2]->data, node->accumulate[0], y->dim[0], y->dim[1]);
}

static mo_cost combine_cost(const mo_node *node, mo_phase phase)
{
    double rows = (double)mo_tensor_count(node->in[0]), tokens = (double)mo_tensor_count(node->out[0]);
    return (mo_cost){phase == MO_FORWARD ? rows : 0, (rows + tokens) * sizeof(mo_real)};
}

const mo_op mo__op_combine = {.name = "combine",
                              .shape = combine_shape,
                              .forward = combine_forward,
                              .backward = combine_backward,
                              .needs_in = MO_NEEDS(2),
                              .cost = combine_cost};

mo_tensor *mo_combine(mo_graph *g, mo_tensor *y_RD, const mo_dispatch_map *map)
{
    mo_tensor *in[] = {y_RD, map->row_NK, map->token_R};
    mo_node *node = mo_graph_node(g, &mo__op_combine, 3, in, NULL, 0);
    return node ? node->out[0] : NULL;
}
