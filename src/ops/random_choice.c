/* random_choice.c -- experts at random: the control that any other router must beat
 *   ids_n = K experts that in training (seed, step, layer, token within the step) draws,
 *           in evaluation (layer, position, token id), so that decoding with a cache sees the same
 * tokens_N and positions_N in, ids_NK (int32) out, -1 for padding. Drawn as choose.h says: in training item =
 * token within the step; in evaluation of seed 0, step = position, item = token id. No gradient.
 * Threads: over rows. */
#include "ops/choose.h"
#include "ops/topk.h"

typedef struct {
    int64_t E, K;
    int layer;
} random_choice_attr;

static mo__lot lot_of(const mo_run *run, int layer, int64_t n, int32_t position, int32_t token)
{
    mo__lot lot = {.purpose = MO_RNG_CHOICE, .layer = (uint32_t)layer};
    if (run->training) {
        lot.seed = run->seed;
        lot.step = (uint64_t)run->step;
        lot.item = (uint64_t)(run->first_token + n);
    } else {
        lot.step = (uint64_t)position;
        lot.item = (uint64_t)token;
    }
    return lot;
}

static void random_choice_fwd(int32_t *ids_NK, const int32_t *tokens_N, const int32_t *positions_N,
                              const random_choice_attr *a, const mo_run *run, int64_t N)
{
#pragma omp parallel for schedule(static)
    for (int64_t n = 0; n < N; n++) {
        int32_t *ids = ids_NK + n * a->K;
        if (tokens_N[n] < 0)
            mo__no_ids(ids, a->K);
        else
            mo__choose(ids, a->E, a->K, lot_of(run, a->layer, n, positions_N[n], tokens_N[n]));
    }
}

static mo_status random_choice_shape(mo_node *node)
{
    const mo_tensor *tokens = node->in[0], *positions = node->in[1];
    const random_choice_attr *a = node->attr;
    if (tokens->dtype != MO_I32 || tokens->ndim != 1 || positions->dtype != MO_I32 || positions->ndim != 1 ||
        positions->dim[0] != tokens->dim[0])
        return mo_error(MO_E_SHAPE,
                        "random_choice: tokens %s and positions %s do not fit; expected int32 [N] twice",
                        mo_shape(tokens).text, mo_shape(positions).text);
    if (a->K < 1 || a->K > a->E)
        return mo_error(MO_E_RANGE,
                        "random_choice: num_experts_per_tok is %lld, must be from 1 to the %lld experts",
                        (long long)a->K, (long long)a->E);
    return mo_node_output(node, "", MO_I32, 2, (int64_t[]){tokens->dim[0], a->K});
}

static void random_choice_forward(const mo_node *node, const mo_run *run)
{
    const mo_tensor *tokens = node->in[0];
    random_choice_fwd(node->out[0]->data, tokens->data, node->in[1]->data, node->attr, run, tokens->dim[0]);
}

static mo_cost random_choice_cost(const mo_node *node, mo_phase phase)
{
    if (phase == MO_BACKWARD) return (mo_cost){0, 0};
    double rows = (double)mo_tensor_count(node->out[0]);
    return (mo_cost){MO_CHOOSE_OPERATIONS * rows,
                     rows * sizeof(int32_t) + 2 * (double)mo_tensor_bytes(node->in[0])};
}

const mo_op mo__op_random_choice = {.name = "random_choice",
                                    .shape = random_choice_shape,
                                    .forward = random_choice_forward,
                                    .flags = MO_OP_KEEP,
                                    .cost = random_choice_cost};

mo_tensor *mo_random_choice(mo_graph *g, mo_tensor *tokens_N, mo_tensor *positions_N, int64_t E, int64_t K,
                            int layer)
{
    random_choice_attr attr = {E, K, layer};
    mo_node *node = mo_graph_node(g, &mo__op_random_choice, 2, (mo_tensor *[]){tokens_N, positions_N}, &attr,
                                  sizeof attr);
    return node ? node->out[0] : NULL;
}
