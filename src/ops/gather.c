/* gather.c -- the rows of the experts, sorted by expert, out of the tokens
 *   xr_r = x_[token_r], 0 past the last row        dx_n = sum_k dxr_[row_nk], in the order of k
 * x_ND, token_R and row_NK (see dispatch.c) in, xr_RD out; backward reads row_NK.
 * Threads: forward over rows, backward over tokens: a token collects its own rows. */
#include "ops/map_rows.h"

static void gather_fwd(mo_real *xr_RD, const mo_real *x_ND, const int32_t *token_R, int64_t R, int64_t D)
{
#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < R; r++) mo__take_row(xr_RD + r * D, x_ND, token_R[r], D);
}

static void gather_bwd(mo_real *dx_ND, const mo_real *dxr_RD, const int32_t *row_NK, bool accumulate,
                       int64_t N, int64_t K, int64_t D)
{
#pragma omp parallel for schedule(static)
    for (int64_t n = 0; n < N; n++) mo__sum_rows(dx_ND + n * D, dxr_RD, row_NK + n * K, accumulate, K, D);
}

static mo_status gather_shape(mo_node *node)
{
    const mo_tensor *x = node->in[0], *token = node->in[1], *row = node->in[2];
    if (x->dtype != MO_REAL || x->ndim != 2 || row->dim[0] != x->dim[0])
        return mo_error(MO_E_SHAPE,
                        "gather: x %s and a map of rows %s do not fit; expected [N, D] and [N, K]",
                        mo_shape(x).text, mo_shape(row).text);
    return mo_node_output(node, "", MO_REAL, 2, (int64_t[]){token->dim[0], x->dim[1]});
}

static void gather_forward(const mo_node *node, const mo_run *run)
{
    (void)run;
    const mo_tensor *xr = node->out[0];
    gather_fwd(xr->data, node->in[0]->data, node->in[1]->data, xr->dim[0], xr->dim[1]);
}

static void gather_backward(const mo_node *node, const mo_run *run)
{
    (void)run;
    const mo_tensor *x = node->in[0], *row = node->in[2];
    gather_bwd(x->grad, node->out[0]->grad, row->data, node->accumulate[0], x->dim[0], row->dim[1],
               x->dim[1]);
}

static mo_cost gather_cost(const mo_node *node, mo_phase phase)
{
    double rows = (double)mo_tensor_count(node->out[0]), tokens = (double)mo_tensor_count(node->in[0]);
    return (mo_cost){phase == MO_FORWARD ? 0 : rows, (rows + tokens) * sizeof(mo_real)};
}

const mo_op mo__op_gather = {.name = "gather",
                             .shape = gather_shape,
                             .forward = gather_forward,
                             .backward = gather_backward,
                             .needs_in = MO_NEEDS(2),
                             .flags = MO_OP_CHEAP,
                             .cost = gather_cost};

mo_tensor *mo_gather(mo_graph *g, mo_tensor *x_ND, const mo_dispatch_map *map)
{
    mo_tensor *in[] = {x_ND, map->token_R, map->row_NK};
    mo_node *node = mo_graph_node(g, &mo__op_gather, 3, in, NULL, 0);
    return node ? node->out[0] : NULL;
}
