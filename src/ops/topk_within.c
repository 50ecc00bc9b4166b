/* topk_within.c -- the second level of a two-level selection (Shazeer et al. 2017, arXiv:1701.06538,
 * appendix B): of each chosen group the ids of its K largest scores
 *   ids_n,jK+i = argmax over e of group groups_nj, not among ids_n,jK .. ids_n,jK+i-1, of scores_ne
 * scores_NE and groups_NJ (int32) in, ids [N, J*K] (int32) out: the block of the first group first. Group g
 * has the experts g E/G .. (g+1) E/G - 1. No group (-1), no ids. Order as in topk.h. No gradient.
 * Threads: over rows. */
#include "ops/topk.h"

typedef struct {
    int64_t n_group, K;
} topk_within_attr;

static void topk_within_fwd(int32_t *ids_NJK, const mo_real *scores_NE, const int32_t *groups_NJ, int64_t N,
                            int64_t E, int64_t J, int64_t size, int64_t K)
{
#pragma omp parallel for schedule(static)
    for (int64_t n = 0; n < N; n++)
        for (int64_t j = 0; j < J; j++) {
            int64_t group = groups_NJ[n * J + j];
            int32_t *ids = ids_NJK + (n * J + j) * K;
            if (group < 0)
                mo__no_ids(ids, K);
            else
                mo__topk_insert(ids, 0, scores_NE + n * E, NULL, group * size, (group + 1) * size, K);
        }
}

static mo_status topk_within_shape(mo_node *node)
{
    const mo_tensor *scores = node->in[0], *groups = node->in[1];
    const topk_within_attr *a = node->attr;
    if (scores->dtype != MO_REAL || scores->ndim != 2 || groups->dtype != MO_I32 || groups->ndim != 2 ||
        groups->dim[0] != scores->dim[0])
        return mo_error(
            MO_E_SHAPE,
            "topk_within: scores %s and groups %s do not fit; expected [N, E] and int32 [N, groups]",
            mo_shape(scores).text, mo_shape(groups).text);
    int64_t E = scores->dim[1];
    if (a->n_group < 1 || E % a->n_group != 0)
        return mo_error(MO_E_RANGE, "topk_within: n_group is %lld, must divide the %lld experts",
                        (long long)a->n_group, (long long)E);
    if (groups->dim[1] > a->n_group)
        return mo_error(MO_E_SHAPE, "topk_within: groups %s are more than the %lld groups",
                        mo_shape(groups).text, (long long)a->n_group);
    if (a->K < 1 || a->K > E / a->n_group)
        return mo_error(MO_E_RANGE,
                        "topk_within: %lld experts per group, must be from 1 to the %lld of a group",
                        (long long)a->K, (long long)(E / a->n_group));
    return mo_node_output(node, "", MO_I32, 2, (int64_t[]){scores->dim[0], groups->dim[1] * a->K});
}

static void topk_within_forward(const mo_node *node, const mo_run *run)
{
    (void)run;
    const mo_tensor *scores = node->in[0], *groups = node->in[1];
    const topk_within_attr *a = node->attr;
    int64_t E = scores->dim[1];
    topk_within_fwd(node->out[0]->data, scores->data, groups->data, scores->dim[0], E, groups->dim[1],
                    E / a->n_group, a->K);
}

static mo_cost topk_within_cost(const mo_node *node, mo_phase phase)
{
    if (phase == MO_BACKWARD) return (mo_cost){0, 0};
    const mo_tensor *scores = node->in[0], *groups = node->in[1];
    double looked_at = (double)mo_tensor_count(groups) *
                       (double)(scores->dim[1] / ((const topk_within_attr *)node->attr)->n_group);
    return (mo_cost){looked_at, looked_at * sizeof(mo_real) + (double)mo_tensor_bytes(groups) +
                                    (double)mo_tensor_bytes(node->out[0])};
}

const mo_op mo__op_topk_within = {.name = "topk_within",
                                  .shape = topk_within_shape,
                                  .forward = topk_within_forward,
                                  .flags = MO_OP_KEEP,
                                  .cost = topk_within_cost};

mo_tensor *mo_topk_within(mo_graph *g, mo_tensor *scores_NE, mo_tensor *groups_NJ, int64_t n_group, int64_t K)
{
    topk_within_attr attr = {n_group, K};
    mo_node *node =
        mo_graph_node(g, &mo__op_topk_within, 2, (mo_tensor *[]){scores_NE, groups_NJ}, &attr, sizeof attr);
    return node ? node->out[0] : NULL;
}
