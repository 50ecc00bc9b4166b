/* dispatch.c -- where each token's rows go: a stable counting sort of (token, choice) pairs by expert
 *   offsets_e = number of pairs with an expert below e          expert e owns rows offsets_e .. offsets_e+1
 *   row_nk    = offsets_e + number of pairs with e = ids_nk before (n, k)
 *   token_r   = n where row_nk = r, -1 past the last row
 * ids_NK in (-1: no row; padding, a dropped choice, an expert that did not take the token); offsets_E1,
 * token_R, row_NK out, all int32. No gradient. R rows are room for every pair that can be, N*K or what a
 * capacity allows; offsets_E of them are used.
 * Threads: serial; 13 us for 8192 pairs, which a team of threads would hardly better. Where experts choose, K
 * is E, and this is a quarter of the work of choosing (16384 x 256). */
#include "ops/kernels.h"

typedef struct {
    int64_t E, rows;
} dispatch_attr;

static void dispatch_fwd(int32_t *offsets_E1, int32_t *token_R, int32_t *row_NK, int32_t *next_E,
                         const int32_t *ids_NK, int64_t N, int64_t K, int64_t E, int64_t R)
{
    memset(next_E, 0, (size_t)E * sizeof *next_E);
    for (int64_t i = 0; i < N * K; i++) {
        MO_ASSERT(ids_NK[i] < E);
        if (ids_NK[i] >= 0) next_E[ids_NK[i]]++;
    }
    offsets_E1[0] = 0;
    for (int64_t e = 0; e < E; e++) {
        offsets_E1[e + 1] = offsets_E1[e] + next_E[e];
        next_E[e] = offsets_E1[e];
    }
    MO_ASSERT(offsets_E1[E] <= R);
    for (int64_t n = 0; n < N; n++)
        for (int64_t k = 0; k < K; k++) {
            int32_t id = ids_NK[n * K + k], row = id < 0 ? -1 : next_E[id]++;
            row_NK[n * K + k] = row;
            if (row >= 0) token_R[row] = (int32_t)n;
        }
    for (int64_t r = offsets_E1[E]; r < R; r++) token_R[r] = -1;
}

static mo_status dispatch_shape(mo_node *node)
{
    const mo_tensor *ids = node->in[0];
    int64_t E = ((dispatch_attr *)node->attr)->E, rows = ((dispatch_attr *)node->attr)->rows;
    if (ids->ndim != 2 || ids->dtype != MO_I32)
        return mo_error(MO_E_SHAPE, "dispatch: ids are %s; expected int32 [N, K]", mo_shape(ids).text);
    if (E < ids->dim[1])
        return mo_error(MO_E_RANGE, "dispatch: %lld experts are fewer than the %lld of each token",
                        (long long)E, (long long)ids->dim[1]);
    int64_t pairs = ids->dim[0] * ids->dim[1], R = rows ? rows : pairs;
    if (R < 0 || R > pairs)
        return mo_error(MO_E_RANGE, "dispatch: %lld rows, must be from 1 to the %lld of ids %s", (long long)R,
                        (long long)pairs, mo_shape(ids).text);
    if (R > INT32_MAX)
        return mo_error(MO_E_RANGE, "dispatch: ids %s make %lld rows; row numbers end at %d",
                        mo_shape(ids).text, (long long)R, INT32_MAX);
    MO_TRY(mo_node_output(node, "offsets", MO_I32, 1, (int64_t[]){E + 1}));
    MO_TRY(mo_node_output(node, "token", MO_I32, 1, &R));
    return mo_node_output(node, "row", MO_I32, 2, ids->dim);
}

static void dispatch_forward(const mo_node *node, const mo_run *run)
{
    (void)run;
    const mo_tensor *ids = node->in[0];
    dispatch_fwd(node->out[0]->data, node->out[1]->data, node->out[2]->data, node->scratch, ids->data,
                 ids->dim[0], ids->dim[1], ((dispatch_attr *)node->attr)->E, node->out[1]->dim[0]);
}

static size_t dispatch_scratch(const mo_node *node, mo_phase phase)
{
    return phase == MO_FORWARD ? (size_t)((dispatch_attr *)node->attr)->E * sizeof(int32_t) : 0;
}

static mo_cost dispatch_cost(const mo_node *node, mo_phase phase)
{
    return phase == MO_FORWARD ? (mo_cost){0, 4 * (double)mo_tensor_bytes(node->in[0])} : (mo_cost){0, 0};
}

const mo_op mo__op_dispatch = {.name = "dispatch",
                               .shape = dispatch_shape,
                               .forward = dispatch_forward,
                               .flags = MO_OP_KEEP,
                               .scratch = dispatch_scratch,
                               .cost = dispatch_cost};

mo_dispatch_map mo_dispatch(mo_graph *g, mo_tensor *ids_NK, int64_t E, int64_t rows)
{
    dispatch_attr attr = {E, rows};
    mo_node *node = mo_graph_node(g, &mo__op_dispatch, 1, &ids_NK, &attr, sizeof attr);
    return node ? (mo_dispatch_map){node->out[0], node->out[1], node->out[2]} : (mo_dispatch_map){0};
}
