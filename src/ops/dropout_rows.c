/* dropout_rows.c -- inverted dropout (dropout.c) of rows that are sorted by expert
 *   y_ri = x_ri m_nki / (1 - p), row r being choice k of token n        dx_ri = dy_ri m_nki / (1 - p)
 * in training; y = x in evaluation. x_RI, token_R and row_NK (see dispatch.c) in, y_RI out, 0 past the last
 * row, as is dx. Backward reads the map. A mask hangs on the token's place in the step and the choice's
 * number, not on where the row came to lie: its element of the stream (dropout.h) is ((token of the step) K +
 * k) I + i. Threads: over rows. */
#include "ops/dropout.h"

#include "ops/map_rows.h"

enum { BLOCK = 1024 };

/* out = in m / (1 - p) of one row whose first element of the stream is `first`. */
static void drop_row(mo_real *out, const mo_real *in, bool accumulate, const mo__dropout *d,
                     const mo_run *run, uint64_t first, int64_t I)
{
    for (int64_t at = 0; at < I; at += BLOCK) {
        mo_real factor[BLOCK];
        int64_t n = mo_min(BLOCK, I - at);
        mo__dropout_factors(d, run, first + (uint64_t)at, n, factor);
#pragma omp simd
        for (int64_t i = 0; i < n; i++) out[at + i] = (accumulate ? out[at + i] : 0) + in[at + i] * factor[i];
    }
}

static void drop_rows(const mo_node *node, const mo_run *run, mo_real *out_RI, const mo_real *in_RI,
                      bool accumulate)
{
    const mo_tensor *x = node->in[0], *row = node->in[2];
    const int32_t *token_R = node->in[1]->data, *row_NK = row->data;
    int64_t R = x->dim[0], I = x->dim[1], K = row->dim[1];
#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < R; r++) {
        int64_t n = token_R[r];
        if (n < 0) {
            if (!accumulate) memset(out_RI + r * I, 0, (size_t)I * sizeof *out_RI);
            continue;
        }
        int64_t place = (run->first_token + n) * K + mo__choice_of(row_NK + n * K, r, K);
        drop_row(out_RI + r * I, in_RI + r * I, accumulate, node->attr, run, (uint64_t)(place * I), I);
    }
}

static mo_status dropout_rows_shape(mo_node *node)
{
    const mo_tensor *x = node->in[0], *token = node->in[1];
    if (x->dtype != MO_REAL || x->ndim != 2 || x->dim[0] != token->dim[0])
        return mo_error(MO_E_SHAPE, "dropout_rows: x %s does not fit a map of %lld rows; expected [%lld, I]",
                        mo_shape(x).text, (long long)token->dim[0], (long long)token->dim[0]);
    MO_TRY(mo__dropout_check("dropout_rows", node->attr));
    return mo_node_output(node, "", MO_REAL, 2, x->dim);
}

static void dropout_rows_forward(const mo_node *node, const mo_run *run)
{
    drop_rows(node, run, node->out[0]->data, node->in[0]->data, false);
}

static void dropout_rows_backward(const mo_node *node, const mo_run *run)
{
    drop_rows(node, run, node->in[0]->grad, node->out[0]->grad, node->accumulate[0]);
}

static mo_cost dropout_rows_cost(const mo_node *node, mo_phase phase)
{
    double n = (double)mo_tensor_count(node->in[0]),
           copies = 2 + (phase == MO_BACKWARD && node->accumulate[0]);
    return (mo_cost){(MO_DROPOUT_OPERATIONS + 1) * n, copies * n * sizeof(mo_real)};
}

const mo_op mo__op_dropout_rows = {.name = "dropout_rows",
                                   .shape = dropout_rows_shape,
                                   .forward = dropout_rows_forward,
                                   .backward = dropout_rows_backward,
                                   .needs_in = MO_NEEDS(1) | MO_NEEDS(2),
                                   .flags = MO_OP_CHEAP,
                                   .cost = dropout_rows_cost};

mo_tensor *mo_dropout_rows(mo_graph *g, mo_tensor *x_RI, const mo_dispatch_map *map, double p, int stream)
{
    mo__dropout attr = {p, stream};
    if (p == 0) return x_RI;
    mo_tensor *in[] = {x_RI, map->token_R, map->row_NK};
    mo_node *node = mo_graph_node(g, &mo__op_dropout_rows, 3, in, &attr, sizeof attr);
    return node ? node->out[0] : NULL;
}
