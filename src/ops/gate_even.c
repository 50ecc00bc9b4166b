/* gate_even.c -- the same weight for every choice, for routers without scores
 *   w_nk = 1 / K;  0 where ids_nk is -1
 * ids_NK (int32) in, w_NK out. No gradient.
 * Threads: over elements. */
#include "ops/kernels.h"

static void gate_even_fwd(mo_real *w, const int32_t *ids, int64_t N, int64_t K)
{
    mo_real even = 1 / (mo_real)K;
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < N * K; i++) w[i] = ids[i] < 0 ? 0 : even;
}

static mo_status gate_even_shape(mo_node *node)
{
    const mo_tensor *ids = node->in[0];
    if (ids->dtype != MO_I32 || ids->ndim != 2)
        return mo_error(MO_E_SHAPE, "gate_even: ids %s; expected int32 [N, K]", mo_shape(ids).text);
    return mo_node_output(node, "", MO_REAL, 2, ids->dim);
}

static void gate_even_forward(const mo_node *node, const mo_run *run)
{
    (void)run;
    const mo_tensor *ids = node->in[0];
    gate_even_fwd(node->out[0]->data, ids->data, ids->dim[0], ids->dim[1]);
}

static mo_cost gate_even_cost(const mo_node *node, mo_phase phase)
{
    double n = (double)mo_tensor_count(node->in[0]);
    return phase == MO_FORWARD ? (mo_cost){0, n * (sizeof(int32_t) + sizeof(mo_real))} : (mo_cost){0, 0};
}

const mo_op mo__op_gate_even = {.name = "gate_even",
                                .shape = gate_even_shape,
                                .forward = gate_even_forward,
                                .flags = MO_OP_CHEAP,
                                .cost = gate_even_cost};

mo_tensor *mo_gate_even(mo_graph *g, mo_tensor *ids_NK)
{
    mo_node *node = mo_graph_node(g, &mo__op_gate_even, 1, &ids_NK, NULL, 0);
    return node ? node->out[0] : NULL;
}
