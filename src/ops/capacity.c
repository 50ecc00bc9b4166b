/* capacity.c -- experts take so many choices of a group of tokens; the rest is dropped
 *   C = ceil(factor * K * valid / E), valid: tokens of the group that are no padding
 *   kept_nk = ids_nk if fewer than C choices of the same expert come before (n, k), else -1
 * (Lepikhin et al. 2020, GShard, arXiv:2006.16668, section 2.2 and algorithm 1; Fedus et al. 2021, Switch,
 * arXiv:2101.03961, eq. 3.) Before a choice come all choices of smaller k, first choices before second ones
 * (GShard); then, among choices of the same k,
 *   by position      those of earlier tokens (GShard, Switch)
 *   by probability   those of larger scores, and of earlier tokens among equals (after the batch prioritized
 *                    routing of V-MoE, Riquelme et al. 2021, arXiv:2106.05974, section 4, which ranks a token
 *                    by its largest score; with K = 1 what Megatron-Core calls dropping by "probs")
 * ids_NK, tokens_N, and by probability scores_NE in; kept_NK out, int32. Padding takes no place. A choice
 * that is -1 stays so. No gradient. ceil forgives the product's rounding: 1.1 * 100 / 10 is 11, not 12.
 * Threads: groups; by probability then (group, expert), each of which is one queue. */
#include "ops/capacity.h"

#include "ops/balance.h"
#include "ops/rank.h"

int64_t mo__capacity(double factor, int64_t choices, int64_t experts, int64_t valid)
{
    double most = ceil(factor * (double)choices / (double)experts * (1 - 1e-12));
    return most < (double)valid ? (int64_t)most : valid;
}

mo_status mo__factor_check(const char *op, double factor)
{
    if (isfinite(factor) && factor > 0) return MO_OK;
    return mo_error(MO_E_RANGE, "%s: capacity factor is %g, must be above 0", op, factor);
}

int64_t mo__valid_tokens(const int32_t *tokens, int64_t group)
{
    int64_t valid = 0;
    for (int64_t n = 0; n < group; n++) valid += tokens[n] >= 0;
    return valid;
}

static void copy_valid(int32_t *kept_NK, const int32_t *ids_NK, const int32_t *tokens_N, int64_t N, int64_t K)
{
    for (int64_t i = 0; i < N * K; i++) kept_NK[i] = tokens_N[i / K] < 0 ? -1 : ids_NK[i];
}

static void keep_first(int32_t *kept_NK, int32_t *taken_E, int64_t C, int64_t N, int64_t K, int64_t E)
{
    memset(taken_E, 0, (size_t)E * sizeof *taken_E);
    for (int64_t k = 0; k < K; k++)
        for (int64_t n = 0; n < N; n++) {
            int32_t *id = kept_NK + n * K + k;
            if (*id >= 0 && taken_E[*id]++ >= C) *id = -1;
        }
}

/* What waits for the experts of a group. */
typedef struct {
    mo__rank *rank; /* of the choice's score */
    int32_t *at;    /* n K + k */
    int32_t *end_E; /* the queue of expert 0, then that of 1, ...; e's ends here */
} queues;

/* In each queue all first choices in the order of tokens, then all second ones, ... */
static void queue_up(queues q, const int32_t *kept_NK, const mo_real *scores_NE, int64_t N, int64_t K,
                     int64_t E)
{
    memset(q.end_E, 0, (size_t)E * sizeof *q.end_E);
    for (int64_t i = 0; i < N * K; i++)
        if (kept_NK[i] >= 0) q.end_E[kept_NK[i]]++;
    int32_t begin = 0;
    for (int64_t e = 0; e < E; e++) {
        int32_t count = q.end_E[e];
        q.end_E[e] = begin;
        begin += count;
    }
    for (int64_t k = 0; k < K; k++)
        for (int64_t n = 0; n < N; n++) {
            int32_t id = kept_NK[n * K + k];
            if (id < 0) continue;
            int32_t place = q.end_E[id]++;
            q.rank[place] = mo__rank_of(scores_NE[n * E + id]);
            q.at[place] = (int32_t)(n * K + k);
        }
}

/* Of a queue of n. Scores decide among choices of the same k as the first that is too much, [first, last). */
static void drop_overflow(int32_t *kept_NK, const mo__rank *rank, const int32_t *at, int64_t n, int64_t C,
                          int64_t K)
{
    if (n <= C) return;
    int64_t k = at[C] % K, first = C, last = C;
    while (first > 0 && at[first - 1] % K == k) first--;
    while (last < n && at[last] % K == k) last++;
    mo__best best = mo__best_of(rank + first, last - first, C - first);
    for (int64_t i = first; i < n; i++)
        if (i >= last || !mo__best_takes(&best, rank[i])) kept_NK[at[i]] = -1;
}

static mo_status capacity_shape(mo_node *node)
{
    const mo_tensor *ids = node->in[0], *tokens = node->in[1];
    const mo_capacity_options *o = node->attr;
    if (tokens->ndim != 1 || tokens->dtype != MO_I32)
        return mo_error(MO_E_SHAPE, "capacity: tokens are %s; expected int32 [N]", mo_shape(tokens).text);
    int64_t N = tokens->dim[0];
    MO_TRY(mo__ids_check("capacity", ids, N, o->experts));
    MO_TRY(mo__group_check("capacity", N, o->group));
    if (mo_tensor_count(ids) > INT32_MAX)
        return mo_error(MO_E_RANGE, "capacity: ids %s are %lld choices; their numbers end at %d",
                        mo_shape(ids).text, (long long)mo_tensor_count(ids), INT32_MAX);
    MO_TRY(mo__factor_check("capacity", o->factor));
    if (o->drop != MO_DROP_POSITION && o->drop != MO_DROP_PROBABILITY)
        return mo_error(MO_E_RANGE, "capacity: %d is no way to drop", (int)o->drop);
    if (o->drop == MO_DROP_PROBABILITY) {
        const mo_tensor *scores = node->n_in > 2 ? node->in[2] : NULL;
        if (!scores)
            return mo_error(MO_E_SHAPE, "capacity: dropping by probability needs scores; there are none");
        if (scores->dtype != MO_REAL || scores->ndim != 2 || scores->dim[0] != N ||
            scores->dim[1] != o->experts)
            return mo_error(MO_E_SHAPE, "capacity: scores are %s; expected [%lld, %lld]",
                            mo_shape(scores).text, (long long)N, (long long)o->experts);
    }
    return mo_node_output(node, "", MO_I32, 2, ids->dim);
}

/* By probability: ranks and places of N*K choices. Then per group end_E, or taken_E, and C. */
static size_t capacity_scratch(const mo_node *node, mo_phase phase)
{
    const mo_capacity_options *o = node->attr;
    if (phase == MO_BACKWARD) return 0;
    int64_t groups = node->in[1]->dim[0] / o->group, pairs = mo_tensor_count(node->in[0]);
    return (size_t)(groups * (o->experts + 1)) * sizeof(int32_t) +
           (o->drop == MO_DROP_PROBABILITY ? (size_t)pairs * (sizeof(mo__rank) + sizeof(int32_t)) : 0);
}

static void drop_by_position(const mo_node *node, int32_t *kept_NK, int32_t *sizes)
{
    const mo_capacity_options *o = node->attr;
    int64_t G = o->group, K = node->in[0]->dim[1], E = o->experts;
#pragma omp parallel for schedule(static)
    for (int64_t g = 0; g < node->in[1]->dim[0] / G; g++) {
        int32_t *taken_E = sizes + g * (E + 1);
        keep_first(kept_NK + g * G * K, taken_E, taken_E[E], G, K, E);
    }
}

static void drop_by_score(const mo_node *node, int32_t *kept_NK, const queues *all, int32_t *sizes)
{
    const mo_capacity_options *o = node->attr;
    const mo_real *scores_NE = node->in[2]->data;
    int64_t G = o->group, K = node->in[0]->dim[1], E = o->experts, groups = node->in[1]->dim[0] / G;
#pragma omp parallel for schedule(static)
    for (int64_t g = 0; g < groups; g++) {
        int64_t first = g * G * K;
        queues q = {all->rank + first, all->at + first, sizes + g * (E + 1)};
        queue_up(q, kept_NK + first, scores_NE + g * G * E, G, K, E);
    }
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < groups * E; i++) {
        int64_t g = i / E, e = i % E, first = g * G * K;
        const int32_t *end_E = sizes + g * (E + 1);
        int64_t begin = e > 0 ? end_E[e - 1] : 0;
        drop_overflow(kept_NK + first, all->rank + first + begin, all->at + first + begin, end_E[e] - begin,
                      end_E[E], K);
    }
}

static void capacity_forward(const mo_node *node, const mo_run *run)
{
    (void)run;
    const mo_capacity_options *o = node->attr;
    const int32_t *ids_NK = node->in[0]->data, *tokens_N = node->in[1]->data;
    int32_t *kept_NK = node->out[0]->data;
    int64_t G = o->group, K = node->in[0]->dim[1], groups = node->in[1]->dim[0] / G;
    bool ranked = o->drop == MO_DROP_PROBABILITY;
    queues all = {node->scratch, (int32_t *)((mo__rank *)node->scratch + (ranked ? groups * G * K : 0)),
                  NULL};
    int32_t *sizes = all.at + (ranked ? groups * G * K : 0);
#pragma omp parallel for schedule(static)
    for (int64_t g = 0; g < groups; g++) {
        int64_t valid = mo__valid_tokens(tokens_N + g * G, G);
        sizes[g * (o->experts + 1) + o->experts] =
            (int32_t)mo__capacity(o->factor, K * valid, o->experts, valid);
        copy_valid(kept_NK + g * G * K, ids_NK + g * G * K, tokens_N + g * G, G, K);
    }
    if (ranked)
        drop_by_score(node, kept_NK, &all, sizes);
    else
        drop_by_position(node, kept_NK, sizes);
}

static mo_cost capacity_cost(const mo_node *node, mo_phase phase)
{
    return phase == MO_FORWARD ? (mo_cost){0, 4 * (double)mo_tensor_bytes(node->in[0])} : (mo_cost){0, 0};
}

const mo_op mo__op_capacity = {.name = "capacity",
                               .shape = capacity_shape,
                               .forward = capacity_forward,
                               .flags = MO_OP_KEEP,
                               .scratch = capacity_scratch,
                               .cost = capacity_cost};

mo_tensor *mo_capacity(mo_graph *g, mo_tensor *ids_NK, mo_tensor *tokens_N, mo_tensor *scores_NE,
                       const mo_capacity_options *options)
{
    bool ranked = scores_NE && options->drop == MO_DROP_PROBABILITY;
    mo_tensor *in[] = {ids_NK, tokens_N, scores_NE};
    mo_node *node = mo_graph_node(g, &mo__op_capacity, ranked ? 3 : 2, in, options, sizeof *options);
    return node ? node->out[0] : NULL;
}

/* Both bounds grow with the valid tokens, so groups without padding have the most. */
int64_t mo_capacity_rows(const mo_capacity_options *o, int64_t N, int64_t K)
{
    if (o->group < 1 || o->experts < 1 || !(o->factor > 0)) return N * K;
    int64_t all = o->group * K, taken = o->experts * mo__capacity(o->factor, all, o->experts, o->group);
    return N / o->group * mo_min(all, taken);
}
