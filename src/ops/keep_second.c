/* keep_second.c -- random dispatch of the second choice (Lepikhin et al. 2020, GShard, arXiv:2006.16668,
 * section 2.2 and algorithm 1)
 *   kept_n0 = ids_n0      kept_n1 = ids_n1 if u_n < 2 w_n1 in training, u_n ~ U(0, 1), else -1
 * and in evaluation kept = ids. Where both scores are equal w is 1/2, and the second choice stays for sure.
 * The algorithm counts a second choice that was not dispatched against its expert's capacity; as in the
 * authors' public code (Lingvo, gshard_layers.py, Top2GatingOnLogits) it takes no place here: capacity.c
 * comes after. ids_N2 and w_N2 in, kept_N2 (int32) out. u is a pure function of (seed, step, layer, token
 * within the step). A weight that is NaN stays. No gradient.
 * Threads: over tokens. */
#include "ops/kernels.h"

typedef struct {
    int layer;
} keep_second_attr;

static void keep_second_fwd(int32_t *kept_N2, const int32_t *ids_N2, const mo_real *w_N2, int layer,
                            const mo_run *run, int64_t N)
{
#pragma omp parallel for schedule(static)
    for (int64_t n = 0; n < N; n++) {
        kept_N2[2 * n] = ids_N2[2 * n];
        kept_N2[2 * n + 1] = ids_N2[2 * n + 1];
        if (!run->training) continue;
        double u = mo_rng_uniform(run->seed, MO_RNG_SECOND, (uint64_t)run->step, (uint32_t)layer,
                                  (uint64_t)(run->first_token + n));
        if (u >= 2 * (double)w_N2[2 * n + 1]) kept_N2[2 * n + 1] = -1;
    }
}

static mo_status keep_second_shape(mo_node *node)
{
    const mo_tensor *ids = node->in[0], *w = node->in[1];
    if (ids->dtype != MO_I32 || w->dtype != MO_REAL || ids->ndim != 2 || w->ndim != 2 ||
        ids->dim[0] != w->dim[0] || ids->dim[1] != 2 || w->dim[1] != 2)
        return mo_error(MO_E_SHAPE,
                        "keep_second: ids %s and weights %s do not fit; expected int32 [N, 2] and [N, 2]",
                        mo_shape(ids).text, mo_shape(w).text);
    return mo_node_output(node, "", MO_I32, 2, ids->dim);
}

static void keep_second_forward(const mo_node *node, const mo_run *run)
{
    const mo_tensor *ids = node->in[0];
    keep_second_fwd(node->out[0]->data, ids->data, node->in[1]->data,
                    ((const keep_second_attr *)node->attr)->layer, run, ids->dim[0]);
}

/* A Philox call counts as 100. */
static mo_cost keep_second_cost(const mo_node *node, mo_phase phase)
{
    double n = (double)node->in[0]->dim[0];
    return phase == MO_FORWARD ? (mo_cost){100 * n, n * (4 * sizeof(int32_t) + 2 * sizeof(mo_real))}
                               : (mo_cost){0, 0};
}

const mo_op mo__op_keep_second = {.name = "keep_second",
                                  .shape = keep_second_shape,
                                  .forward = keep_second_forward,
                                  .flags = MO_OP_KEEP,
                                  .cost = keep_second_cost};

mo_tensor *mo_keep_second(mo_graph *g, mo_tensor *ids_N2, mo_tensor *w_N2, int layer)
{
    keep_second_attr attr = {layer};
    mo_node *node =
        mo_graph_node(g, &mo__op_keep_second, 2, (mo_tensor *[]){ids_N2, w_N2}, &attr, sizeof attr);
    return node ? node->out[0] : NULL;
}
