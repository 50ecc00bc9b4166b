/* expert_choice.c -- experts choose tokens (Zhou et al. 2022, arXiv:2202.09368, section 3.2, eq. 1)
 *   C = min(valid, ceil(factor * valid / E)), valid: tokens of the group that are no padding
 *   ids_ne = e if fewer than C valid tokens of n's group come before n by p_e, else -1
 * Before n come tokens with a larger p_e, and earlier ones among equals; a NaN comes before every number.
 * factor is the paper's c, the experts that a token has on average. p_NE and tokens_N in, ids_NE (int32) out.
 * No gradient. With factor E every expert takes every token: a mixture of all (Jacobs et al. 1991).
 * Threads: (group, block of experts). A block reads p's rows side by side into a column for each expert. */
#include "ops/balance.h"
#include "ops/capacity.h"
#include "ops/rank.h"

typedef struct {
    double factor;
    int64_t group;
} expert_choice_attr;

/* Experts of a task: a cache line of p and of ids, where E is a multiple; what keeps columns of 2^i tokens
 * apart in a cache. */
enum { BLOCK = 16, PAD = 16 };

static int64_t most_taken(const expert_choice_attr *attr, int64_t E)
{
    return mo__capacity(attr->factor, attr->group, E, attr->group);
}

static void take_all(int32_t *ids_NE, const int32_t *tokens_N, int64_t first, int64_t last, int64_t N,
                     int64_t E)
{
    for (int64_t n = 0; n < N; n++)
        for (int64_t e = first; e < last; e++) ids_NE[n * E + e] = tokens_N[n] < 0 ? -1 : (int32_t)e;
}

/* columns: [last - first, N + PAD], the ranks of each expert's p. */
static void take_best(int32_t *ids_NE, mo__rank *columns, const mo_real *p_NE, const int32_t *tokens_N,
                      int64_t first, int64_t last, int64_t C, int64_t N, int64_t E)
{
    for (int64_t n = 0; n < N; n++)
        for (int64_t e = first; e < last; e++)
            columns[(e - first) * (N + PAD) + n] = tokens_N[n] < 0 ? 0 : mo__rank_of(p_NE[n * E + e]);
    mo__best best[BLOCK];
    for (int64_t e = first; e < last; e++)
        best[e - first] = mo__best_of(columns + (e - first) * (N + PAD), N, C);
    for (int64_t n = 0; n < N; n++)
        for (int64_t e = first; e < last; e++) {
            bool taken = mo__best_takes(&best[e - first], columns[(e - first) * (N + PAD) + n]);
            ids_NE[n * E + e] = taken ? (int32_t)e : -1;
        }
}

static mo_status expert_choice_shape(mo_node *node)
{
    const mo_tensor *p = node->in[0], *tokens = node->in[1];
    const expert_choice_attr *attr = node->attr;
    if (p->dtype != MO_REAL || p->ndim != 2 || tokens->ndim != 1 || tokens->dim[0] != p->dim[0] ||
        tokens->dtype != MO_I32)
        return mo_error(MO_E_SHAPE,
                        "expert_choice: p %s and tokens %s do not fit; expected [N, E] and int32 [N]",
                        mo_shape(p).text, mo_shape(tokens).text);
    MO_TRY(mo__group_check("expert_choice", p->dim[0], attr->group));
    MO_TRY(mo__factor_check("expert_choice", attr->factor));
    return mo_node_output(node, "", MO_I32, 2, p->dim);
}

static size_t expert_choice_scratch(const mo_node *node, mo_phase phase)
{
    const expert_choice_attr *attr = node->attr;
    const mo_tensor *p = node->in[0];
    bool all = most_taken(attr, p->dim[1]) == attr->group;
    if (phase == MO_BACKWARD || all) return 0;
    return (size_t)(p->dim[0] / attr->group * p->dim[1] * (attr->group + PAD)) * sizeof(mo__rank);
}

static void expert_choice_forward(const mo_node *node, const mo_run *run)
{
    (void)run;
    const expert_choice_attr *attr = node->attr;
    const mo_real *p_NE = node->in[0]->data;
    const int32_t *tokens_N = node->in[1]->data;
    int32_t *ids_NE = node->out[0]->data;
    mo__rank *columns = node->scratch;
    int64_t G = attr->group, E = node->in[0]->dim[1], groups = node->in[0]->dim[0] / G;
    int64_t blocks = (E + BLOCK - 1) / BLOCK;
#pragma omp parallel for schedule(static)
    for (int64_t task = 0; task < groups * blocks; task++) {
        int64_t g = task / blocks, first = task % blocks * BLOCK, last = mo_min(E, first + BLOCK);
        const int32_t *tokens = tokens_N + g * G;
        int64_t valid = mo__valid_tokens(tokens, G), C = mo__capacity(attr->factor, valid, E, valid);
        if (C == valid)
            take_all(ids_NE + g * G * E, tokens, first, last, G, E);
        else
            take_best(ids_NE + g * G * E, columns + (g * E + first) * (G + PAD), p_NE + g * G * E, tokens,
                      first, last, C, G, E);
    }
}

static mo_cost expert_choice_cost(const mo_node *node, mo_phase phase)
{
    if (phase == MO_BACKWARD) return (mo_cost){0, 0};
    double n = (double)mo_tensor_count(node->in[0]);
    return (mo_cost){n, n * (sizeof(mo_real) + sizeof(int32_t))};
}

const mo_op mo__op_expert_choice = {.name = "expert_choice",
                                    .shape = expert_choice_shape,
                                    .forward = expert_choice_forward,
                                    .flags = MO_OP_KEEP,
                                    .scratch = expert_choice_scratch,
                                    .cost = expert_choice_cost};

mo_tensor *mo_expert_choice(mo_graph *g, mo_tensor *p_NE, mo_tensor *tokens_N, double factor, int64_t group)
{
    expert_choice_attr attr = {factor, group};
    mo_node *node =
        mo_graph_node(g, &mo__op_expert_choice, 2, (mo_tensor *[]){p_NE, tokens_N}, &attr, sizeof attr);
    return node ? node->out[0] : NULL;
}

/* C grows with the valid tokens, so groups without padding take the most. */
int64_t mo_expert_choice_rows(int64_t N, int64_t E, double factor, int64_t group)
{
    if (group < 1 || !(factor > 0)) return N * E;
    return N / group * E * most_taken(&(expert_choice_attr){factor, group}, E);
}
