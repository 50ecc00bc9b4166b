/* combine.c -- a token's output: the weighted sum of its rows
 *   out_n = sum_k w_nk y_[row_nk]        dy_[row_nk] = w_nk dout_n        dw_nk = sum_d dout_nd y_[row_nk]d
 * y_RD, w_NK, row_NK and offsets_E1 (see dispatch.c) in, out_ND out, 0 where a token has no row; a
 * choice without a row adds nothing and has dw = 0; dy past the last row is 0. Backward reads all four.
 * Threads: over tokens. A row belongs to one token: forward collects, backward writes without meeting. */
#include "ops/kernels.h"

typedef struct {
    int64_t R; /* rows of the map */
} combine_attr;

static void combine_fwd(mo_real *out_ND, const mo_real *y_RD, const mo_real *w_NK, const int32_t *row_NK,
                        int64_t N, int64_t K, int64_t D)
{
#pragma omp parallel for schedule(static)
    for (int64_t n = 0; n < N; n++) {
        mo_real *out = out_ND + n * D;
        memset(out, 0, (size_t)D * sizeof *out);
        for (int64_t k = 0; k < K; k++) {
            int64_t row = row_NK[n * K + k];
            if (row < 0) continue;
            const mo_real *y = y_RD + row * D;
            mo_real w = w_NK[n * K + k];
#pragma omp simd
            for (int64_t d = 0; d < D; d++) out[d] += w * y[d];
        }
    }
}

static void combine_bwd_y(mo_real *dy_RD, const mo_real *dout_ND, const mo_real *w_NK, const int32_t *row_NK,
                          bool accumulate, int64_t N, int64_t K, int64_t D)
{
#pragma omp parallel for schedule(static)
    for (int64_t n = 0; n < N; n++) {
        const mo_real *dout = dout_ND + n * D;
        for (int64_t k = 0; k < K; k++) {
            int64_t row = row_NK[n * K + k];
            if (row < 0) continue;
            mo_real *dy = dy_RD + row * D, w = w_NK[n * K + k];
#pragma omp simd
            for (int64_t d = 0; d < D; d++) dy[d] = (accumulate ? dy[d] : 0) + w * dout[d];
        }
    }
}

static void combine_bwd_w(mo_real *dw_NK, const mo_real *dout_ND, const mo_real *y_RD, const int32_t *row_NK,
                          bool accumulate, int64_t N, int64_t K, int64_t D)
{
#pragma omp parallel for schedule(static)
    for (int64_t n = 0; n < N; n++)
        for (int64_t k = 0; k < K; k++) {
            int64_t row = row_NK[n * K + k];
            mo_real dot = row < 0 ? 0 : mo_row_dot(dout_ND + n * D, y_RD + row * D, D);
            dw_NK[n * K + k] = (accumulate ? dw_NK[n * K + k] : 0) + dot;
        }
}

static mo_status combine_shape(mo_node *node)
{
    const mo_tensor *y = node->in[0], *w = node->in[1], *row = node->in[2];
    int64_t R = ((const combine_attr *)node->attr)->R;
    if (y->dtype != MO_REAL || w->dtype != MO_REAL || y->ndim != 2 || w->ndim != 2 ||
        w->dim[0] != row->dim[0] || w->dim[1] != row->dim[1] || y->dim[0] != R)
        return mo_error(
            MO_E_SHAPE,
            "combine: y %s, weights %s and a map of rows %s do not fit; expected [%lld, D] and two [N, K]",
            mo_shape(y).text, mo_shape(w).text, mo_shape(row).text, (long long)R);
    return mo_node_output(node, "", MO_REAL, 2, (int64_t[]){w->dim[0], y->dim[1]});
}

static void combine_forward(const mo_node *node, const mo_run *run)
{
    (void)run;
    const mo_tensor *y = node->in[0], *w = node->in[1], *row = node->in[2];
    combine_fwd(node->out[0]->data, y->data, w->data, row->data, w->dim[0], w->dim[1], y->dim[1]);
}

static void combine_backward(const mo_node *node, const mo_run *run)
{
    (void)run;
    const mo_tensor *y = node->in[0], *w = node->in[1], *row = node->in[2], *offsets = node->in[3];
    const mo_real *dout = node->out[0]->grad;
    int64_t N = w->dim[0], K = w->dim[1], D = y->dim[1];
    int64_t used = ((const int32_t *)offsets->data)[offsets->dim[0] - 1];
    if (y->grad) {
        combine_bwd_y(y->grad, dout, w->data, row->data, node->accumulate[0], N, K, D);
        if (!node->accumulate[0])
            memset(y->grad + used * D, 0, (size_t)(y->dim[0] - used) * (size_t)D * sizeof(mo_real));
    }
    if (w->grad) combine_bwd_w(w->grad, dout, y->data, row->data, node->accumulate[1], N, K, D);
}

static mo_cost combine_cost(const mo_node *node, mo_phase phase)
{
    double rows = (double)mo_tensor_count(node->in[0]), tokens = (double)mo_tensor_count(node->out[0]);
    return phase == MO_FORWARD ? (mo_cost){2 * rows, (rows + tokens) * sizeof(mo_real)}
                               : (mo_cost){3 * rows, 2 * (rows + tokens) * sizeof(mo_real)};
}

const mo_op mo__op_combine = {.name = "combine",
                              .shape = combine_shape,
                              .forward = combine_forward,
                              .backward = combine_backward,
                              .needs_in = MO_NEEDS(0) | MO_NEEDS(1) | MO_NEEDS(2) | MO_NEEDS(3),
                              .cost = combine_cost};

mo_tensor *mo_combine(mo_graph *g, mo_tensor *y_RD, mo_tensor *w_NK, const mo_dispatch_map *map)
{
    combine_attr attr = {map->token_R ? map->token_R->dim[0] : 0};
    mo_tensor *in[] = {y_RD, w_NK, map->row_NK, map->offsets_E1};
    mo_node *node = mo_graph_node(g, &mo__op_combine, 4, in, &attr, sizeof attr);
    return node ? node->out[0] : NULL;
}
