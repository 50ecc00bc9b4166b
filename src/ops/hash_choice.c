/* hash_choice.c -- experts by a fixed hash of the token (Roller et al. 2021, arXiv:2106.04426, "random hash")
 *   ids_n = the K experts that (layer, token id) draws, the same in every run, step and place
 * tokens_N in, ids_NK (int32) out, -1 for padding. Drawn as choose.h says, of seed 0 and step 0, item = token
 * id. No gradient.
 * Threads: over rows. */
#include "ops/choose.h"
#include "ops/topk.h"

typedef struct {
    int64_t E, K;
    int layer;
} hash_choice_attr;

static void hash_choice_fwd(int32_t *ids_NK, const int32_t *tokens_N, const hash_choice_attr *a, int64_t N)
{
#pragma omp parallel for schedule(static)
    for (int64_t n = 0; n < N; n++) {
        int32_t *ids = ids_NK + n * a->K;
        if (tokens_N[n] < 0)
            mo__no_ids(ids, a->K);
        else
            mo__choose(ids, a->E, a->K,
                       (mo__lot){.purpose = MO_RNG_HASH,
                                 .layer = (uint32_t)a->layer,
                                 .item = (uint64_t)tokens_N[n]});
    }
}

static mo_status hash_choice_shape(mo_node *node)
{
    const mo_tensor *tokens = node->in[0];
    const hash_choice_attr *a = node->attr;
    if (tokens->dtype != MO_I32 || tokens->ndim != 1)
        return mo_error(MO_E_SHAPE, "hash_choice: tokens %s; expected int32 [N]", mo_shape(tokens).text);
    if (a->K < 1 || a->K > a->E)
        return mo_error(MO_E_RANGE,
                        "hash_choice: num_experts_per_tok is %lld, must be from 1 to the %lld experts",
                        (long long)a->K, (long long)a->E);
    return mo_node_output(node, "", MO_I32, 2, (int64_t[]){tokens->dim[0], a->K});
}

static void hash_choice_forward(const mo_node *node, const mo_run *run)
{
    (void)run;
    const mo_tensor *tokens = node->in[0];
    hash_choice_fwd(node->out[0]->data, tokens->data, node->attr, tokens->dim[0]);
}

static mo_cost hash_choice_cost(const mo_node *node, mo_phase phase)
{
    if (phase == MO_BACKWARD) return (mo_cost){0, 0};
    double rows = (double)mo_tensor_count(node->out[0]);
    return (mo_cost){MO_CHOOSE_OPERATIONS * rows,
                     rows * sizeof(int32_t) + (double)mo_tensor_bytes(node->in[0])};
}

const mo_op mo__op_hash_choice = {.name = "hash_choice",
                                  .shape = hash_choice_shape,
                                  .forward = hash_choice_forward,
                                  .flags = MO_OP_KEEP,
                                  .cost = hash_choice_cost};

mo_tensor *mo_hash_choice(mo_graph *g, mo_tensor *tokens_N, int64_t E, int64_t K, int layer)
{
    hash_choice_attr attr = {E, K, layer};
    mo_node *node = mo_graph_node(g, &mo__op_hash_choice, 1, &tokens_N, &attr, sizeof attr);
    return node ? node->out[0] : NULL;
}
