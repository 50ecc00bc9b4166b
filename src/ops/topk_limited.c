/* topk_limited.c -- DeepSeek-V3's selection (arXiv:2412.19437): the score is for the weight, score + bias for
 * the choice (eq. 16), within a few groups of experts (section 2.1.2, "node-limited routing")
 *   c_e = s_e + b_e      C_g = sum of the two largest c of group g (of one, where groups have one)
 *   ids_nk = argmax of c_e over the experts of the topk_group groups of largest C, not chosen before
 * s_NE, bias_E and tokens_N in, ids_NK (int32) out, -1 for padding. Groups are neighbouring experts. The
 * paper's C_g is of the K / topk_group largest c, which are two there; the published code has two always.
 * An expert of another group is out of the question. (Code that gives it c = 0 instead lets it win against an
 * expert of a chosen group whose bias has made c negative.) Order, ties and NaNs as in topk.h, for groups
 * too. No gradient: b moves by its own rule. Threads: over rows. */
#include "ops/rank.h"
#include "ops/topk.h"

typedef struct {
    int64_t K, n_group, topk_group;
} topk_limited_attr;

/* The sum of the two largest c of a group; NaN if one is. */
static mo_real group_score(const mo_real *s, const mo_real *bias, int64_t first, int64_t size)
{
    mo_real max = -(mo_real)INFINITY, next = max;
    int nan = 0, largest = 0;
#pragma omp simd reduction(max : max) reduction(| : nan)
    for (int64_t e = first; e < first + size; e++) {
        mo_real c = s[e] + bias[e];
        max = c > max ? c : max;
        nan |= c != c;
    }
#pragma omp simd reduction(max : next) reduction(+ : largest)
    for (int64_t e = first; e < first + size; e++) {
        mo_real c = s[e] + bias[e], below = c < max ? c : -(mo_real)INFINITY;
        next = below > next ? below : next;
        largest += c == max;
    }
    if (nan) return (mo_real)NAN;
    if (size == 1) return max;
    return max + (largest > 1 ? max : next);
}

/* Is g among the `limit` best of rank[G]? Of equals the lowest are. */
static bool among_best(const mo__rank *rank, int64_t g, int64_t G, int64_t limit)
{
    mo__rank mine = rank[g], ahead = 0;
#pragma omp simd reduction(+ : ahead)
    for (int64_t h = 0; h < g; h++) ahead += rank[h] >= mine;
#pragma omp simd reduction(+ : ahead)
    for (int64_t h = g + 1; h < G; h++) ahead += rank[h] > mine;
    return (int64_t)ahead < limit;
}

/* C has room for n_group ranks. */
static void limited_row(int32_t *ids, const mo_real *s, const mo_real *bias, mo__rank *C, int64_t E,
                        const topk_limited_attr *a)
{
    int64_t size = E / a->n_group, filled = 0;
    for (int64_t g = 0; g < a->n_group; g++) C[g] = mo__rank_of(group_score(s, bias, g * size, size));
    for (int64_t g = 0; g < a->n_group; g++)
        if (among_best(C, g, a->n_group, a->topk_group))
            filled = mo__topk_insert(ids, filled, s, bias, g * size, (g + 1) * size, a->K);
}

/* C_NG: NULL where no group is left out. */
static void topk_limited_fwd(int32_t *ids_NK, const mo_real *s_NE, const mo_real *bias_E,
                             const int32_t *tokens_N, mo__rank *C_NG, const topk_limited_attr *a, int64_t N,
                             int64_t E)
{
#pragma omp parallel for schedule(static)
    for (int64_t n = 0; n < N; n++) {
        int32_t *ids = ids_NK + n * a->K;
        if (tokens_N[n] < 0)
            mo__no_ids(ids, a->K);
        else if (C_NG)
            limited_row(ids, s_NE + n * E, bias_E, C_NG + n * a->n_group, E, a);
        else
            mo__topk_insert(ids, 0, s_NE + n * E, bias_E, 0, E, a->K);
    }
}

static mo_status check_groups(const topk_limited_attr *a, int64_t E)
{
    if (a->n_group < 1 || E % a->n_group != 0)
        return mo_error(MO_E_RANGE, "topk_limited: n_group is %lld, must divide the %lld experts",
                        (long long)a->n_group, (long long)E);
    if (a->topk_group < 1 || a->topk_group > a->n_group)
        return mo_error(MO_E_RANGE, "topk_limited: topk_group is %lld, must be from 1 to the %lld groups",
                        (long long)a->topk_group, (long long)a->n_group);
    int64_t most = E / a->n_group * a->topk_group;
    if (a->K < 1 || a->K > most)
        return mo_error(MO_E_RANGE,
                        "topk_limited: num_experts_per_tok is %lld, must be from 1 to the %lld experts of "
                        "%lld groups",
                        (long long)a->K, (long long)most, (long long)a->topk_group);
    return MO_OK;
}

static mo_status topk_limited_shape(mo_node *node)
{
    const mo_tensor *s = node->in[0], *bias = node->in[1], *tokens = node->in[2];
    const topk_limited_attr *a = node->attr;
    if (s->dtype != MO_REAL || s->ndim != 2 || bias->dtype != MO_REAL || bias->ndim != 1 ||
        bias->dim[0] != s->dim[1] || tokens->dtype != MO_I32 || tokens->ndim != 1 ||
        tokens->dim[0] != s->dim[0])
        return mo_error(MO_E_SHAPE,
                        "topk_limited: scores %s, bias %s and tokens %s do not fit; expected [N, E], [E] and "
                        "int32 [N]",
                        mo_shape(s).text, mo_shape(bias).text, mo_shape(tokens).text);
    MO_TRY(check_groups(a, s->dim[1]));
    return mo_node_output(node, "", MO_I32, 2, (int64_t[]){s->dim[0], a->K});
}

static bool leaves_out(const topk_limited_attr *a)
{
    return a->topk_group < a->n_group;
}

static void topk_limited_forward(const mo_node *node, const mo_run *run)
{
    (void)run;
    const mo_tensor *s = node->in[0];
    const topk_limited_attr *a = node->attr;
    topk_limited_fwd(node->out[0]->data, s->data, node->in[1]->data, node->in[2]->data,
                     leaves_out(a) ? node->scratch : NULL, a, s->dim[0], s->dim[1]);
}

static size_t topk_limited_scratch(const mo_node *node, mo_phase phase)
{
    const topk_limited_attr *a = node->attr;
    if (phase == MO_BACKWARD || !leaves_out(a)) return 0;
    return (size_t)node->in[0]->dim[0] * (size_t)a->n_group * sizeof(mo__rank);
}

static mo_cost topk_limited_cost(const mo_node *node, mo_phase phase)
{
    if (phase == MO_BACKWARD) return (mo_cost){0, 0};
    double n = (double)mo_tensor_count(node->in[0]);
    return (mo_cost){4 * n, n * sizeof(mo_real) + (double)mo_tensor_bytes(node->out[0])};
}

const mo_op mo__op_topk_limited = {.name = "topk_limited",
                                   .shape = topk_limited_shape,
                                   .forward = topk_limited_forward,
                                   .flags = MO_OP_KEEP,
                                   .scratch = topk_limited_scratch,
                                   .cost = topk_limited_cost};

mo_tensor *mo_topk_limited(mo_graph *g, mo_tensor *s_NE, mo_tensor *bias_E, mo_tensor *tokens_N, int64_t K,
                           int64_t n_group, int64_t topk_group)
{
    topk_limited_attr attr = {K, n_group, topk_group};
    mo_node *node = mo_graph_node(g, &mo__op_topk_limited, 3, (mo_tensor *[]){s_NE, bias_E, tokens_N}, &attr,
                                  sizeof attr);
    return node ? node->out[0] : NULL;
}
