/* topk.c -- the experts of a token: ids of its K largest scores, in falling order
 *   ids_nk = argmax over e not in {ids_n0 .. ids_n,k-1} of scores_ne;  -1 for padding (tokens_n < 0)
 * scores_NE and tokens_N in, ids_NK (int32) out. topk.h has the order of equals and of NaNs. No gradient.
 * Threads: over rows. */
#include "ops/topk.h"

typedef struct {
    int64_t K;
} topk_attr;

/* Insertion into the list of the best so far. A later id moves ahead only of what it outranks strictly. */
int64_t mo__topk_insert(int32_t *ids, int64_t filled, const mo_real *score, const mo_real *bias,
                        int64_t first, int64_t last, int64_t K)
{
    for (int64_t e = first; e < last; e++) {
        mo_real mine = mo__biased(score, bias, e);
        int64_t k = filled;
        if (k == K) {
            if (!mo__outranks(mine, mo__biased(score, bias, ids[K - 1]))) continue;
            k--;
        } else {
            filled++;
        }
        for (; k > 0 && mo__outranks(mine, mo__biased(score, bias, ids[k - 1])); k--) ids[k] = ids[k - 1];
        ids[k] = (int32_t)e;
    }
    return filled;
}

static void topk_fwd(int32_t *ids_NK, const mo_real *scores_NE, const int32_t *tokens_N, int64_t N, int64_t E,
                     int64_t K)
{
#pragma omp parallel for schedule(static)
    for (int64_t n = 0; n < N; n++) {
        if (tokens_N[n] >= 0)
            mo__topk_insert(ids_NK + n * K, 0, scores_NE + n * E, NULL, 0, E, K);
        else
            mo__no_ids(ids_NK + n * K, K);
    }
}

static mo_status topk_shape(mo_node *node)
{
    const mo_tensor *scores = node->in[0], *tokens = node->in[1];
    int64_t K = ((topk_attr *)node->attr)->K;
    if (scores->dtype != MO_REAL || scores->ndim != 2 || tokens->ndim != 1 ||
        tokens->dim[0] != scores->dim[0] || tokens->dtype != MO_I32)
        return mo_error(MO_E_SHAPE, "topk: scores %s and tokens %s do not fit; expected [N, E] and int32 [N]",
                        mo_shape(scores).text, mo_shape(tokens).text);
    if (K < 1 || K > scores->dim[1])
        return mo_error(MO_E_RANGE, "topk: num_experts_per_tok is %lld, must be from 1 to the %lld experts",
                        (long long)K, (long long)scores->dim[1]);
    return mo_node_output(node, "", MO_I32, 2, (int64_t[]){scores->dim[0], K});
}

static void topk_forward(const mo_node *node, const mo_run *run)
{
    (void)run;
    const mo_tensor *scores = node->in[0], *ids = node->out[0];
    topk_fwd(ids->data, scores->data, node->in[1]->data, scores->dim[0], scores->dim[1], ids->dim[1]);
}

static mo_cost topk_cost(const mo_node *node, mo_phase phase)
{
    if (phase == MO_BACKWARD) return (mo_cost){0, 0};
    double n = (double)mo_tensor_count(node->in[0]);
    return (mo_cost){n, n * sizeof(mo_real) + (double)mo_tensor_bytes(node->out[0])};
}

const mo_op mo__op_topk = {
    .name = "topk", .shape = topk_shape, .forward = topk_forward, .flags = MO_OP_KEEP, .cost = topk_cost};

mo_tensor *mo_topk(mo_graph *g, mo_tensor *scores_NE, mo_tensor *tokens_N, int64_t K)
{
    topk_attr attr = {K};
    mo_node *node =
        mo_graph_node(g, &mo__op_topk, 2, (mo_tensor *[]){scores_NE, tokens_N}, &attr, sizeof attr);
    return node ? node->out[0] : NULL;
}
