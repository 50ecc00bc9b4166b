/* router_stats.c -- what a router did, summed over the valid tokens of a microbatch; for metrics only.
 *   load_e = #{(n, k): ids_nk = e}         entropy_n = -sum_e p_ne ln p_ne, with 0 ln 0 = 0
 *   logsumexp(z_n) = max_e z_ne + ln sum_e exp(z_ne - max_e z_ne)
 * z_NE, p_NE (either may be absent), ids_NK, kept_NK, w_NK, tokens_N in; stats [E + MO_ROUTER_SUMS] out. p is
 * not taken for softmax(z): sigmoid's is not. No gradient.
 * Threads: rows in chunks of CHUNK, whose sums are added in order. */
#include "ops/kernels.h"

enum { CHUNK = 256 };
enum { Z, P, IDS, KEPT, W, TOKENS, INPUTS };

typedef struct {
    int64_t E;
    int place[INPUTS]; /* in node->in; -1: absent */
} stats_attr;

typedef struct {
    const mo_real *z, *p, *w; /* z, p: or NULL */
    const int32_t *ids, *kept, *tokens;
    int64_t N, E, K;
} stats_view;

static int64_t chunks_of(int64_t N)
{
    return (N + CHUNK - 1) / CHUNK;
}

static void add_choices(double *load, double *sums, const int32_t *ids, const int32_t *kept, const mo_real *w,
                        int64_t K)
{
    mo_real top = 0;
    int64_t wanted = 0, stayed = 0;
    for (int64_t k = 0; k < K; k++) {
        if (ids[k] < 0) continue;
        load[ids[k]] += 1;
        wanted++;
        stayed += kept[k] >= 0;
        top = w[k] > top ? w[k] : top;
    }
    sums[MO_SUM_TOKENS] += 1;
    sums[MO_SUM_WANTED] += (double)wanted;
    sums[MO_SUM_KEPT] += (double)stayed;
    sums[MO_SUM_UNROUTED] += stayed == 0;
    sums[MO_SUM_TOP1_WEIGHT] += (double)top;
}

/* A NaN stays one. Eight lanes: with sixteen, rows of eight experts would be computed one by one. */
static void add_probabilities(double *sums, const mo_real *p, int64_t E)
{
    mo_real entropy = 0;
#pragma omp simd simdlen(8) reduction(- : entropy)
    for (int64_t e = 0; e < E; e++) entropy -= p[e] > 0 ? p[e] * mo_ln(p[e]) : p[e];
    sums[MO_SUM_ENTROPY] += (double)entropy;
    sums[MO_SUM_TOP1] += (double)mo_row_max(p, E);
}

static void add_logits(double *sums, const mo_real *z, int64_t E)
{
    mo_real top = mo_row_max(z, E), sum = 0;
#pragma omp simd simdlen(8) reduction(+ : sum)
    for (int64_t e = 0; e < E; e++) sum += mo_exp(z[e] - top);
    // cppcheck-suppress invalidFunctionArg -- E is at least 1
    double lse = (double)top + (double)mo_ln(sum);
    sums[MO_SUM_Z] += lse * lse;
}

static void add_rows(double *stats, const stats_view *v, int64_t from, int64_t to)
{
    double *sums = stats + v->E;
    for (int64_t n = from; n < to; n++) {
        if (v->tokens[n] < 0) continue;
        add_choices(stats, sums, v->ids + n * v->K, v->kept + n * v->K, v->w + n * v->K, v->K);
        if (v->p) add_probabilities(sums, v->p + n * v->E, v->E);
        if (v->z) add_logits(sums, v->z + n * v->E, v->E);
    }
}

static void router_stats_fwd(double *stats, double *parts, const stats_view *v)
{
    int64_t width = v->E + MO_ROUTER_SUMS;
#pragma omp parallel for schedule(static)
    for (int64_t c = 0; c < chunks_of(v->N); c++) {
        memset(parts + c * width, 0, (size_t)width * sizeof *parts);
        add_rows(parts + c * width, v, c * CHUNK, mo_min(v->N, (c + 1) * CHUNK));
    }
    memset(stats, 0, (size_t)width * sizeof *stats);
    for (int64_t c = 0; c < chunks_of(v->N); c++)
        for (int64_t i = 0; i < width; i++) stats[i] += parts[c * width + i];
    if (!v->p) stats[v->E + MO_SUM_ENTROPY] = stats[v->E + MO_SUM_TOP1] = (double)NAN;
    if (!v->z) stats[v->E + MO_SUM_Z] = (double)NAN;
}

/* ---- node ---- */

static const mo_tensor *input(const mo_node *node, int which)
{
    int place = ((const stats_attr *)node->attr)->place[which];
    return place < 0 ? NULL : node->in[place];
}

static bool is_matrix(const mo_tensor *t, mo_dtype dtype, int64_t rows, int64_t columns)
{
    return t->dtype == dtype && t->ndim == 2 && t->dim[0] == rows && t->dim[1] == columns;
}

static mo_status router_stats_shape(mo_node *node)
{
    const mo_tensor *z = input(node, Z), *p = input(node, P), *ids = input(node, IDS),
                    *kept = input(node, KEPT), *w = input(node, W), *tokens = input(node, TOKENS);
    int64_t E = ((const stats_attr *)node->attr)->E, N = ids->dim[0], K = ids->dim[ids->ndim - 1];
    if ((z && !is_matrix(z, MO_REAL, N, E)) || (p && !is_matrix(p, MO_REAL, N, E)) ||
        !is_matrix(ids, MO_I32, N, K) || K > E || !is_matrix(kept, MO_I32, N, K) ||
        !is_matrix(w, MO_REAL, N, K) || tokens->dtype != MO_I32 || tokens->ndim != 1 || tokens->dim[0] != N)
        return mo_error(MO_E_SHAPE,
                        "router_stats: %lld experts, z %s, p %s, ids %s, kept %s, w %s, tokens %s; expected "
                        "z and p [N, E], ids and kept int32 [N, K] with K <= E, w [N, K], tokens int32 [N]",
                        (long long)E, z ? mo_shape(z).text : "absent", p ? mo_shape(p).text : "absent",
                        mo_shape(ids).text, mo_shape(kept).text, mo_shape(w).text, mo_shape(tokens).text);
    return mo_node_output(node, "", MO_F64, 1, (int64_t[]){E + MO_ROUTER_SUMS});
}

static void router_stats_forward(const mo_node *node, const mo_run *run)
{
    (void)run;
    const mo_tensor *z = input(node, Z), *p = input(node, P), *ids = input(node, IDS);
    const stats_view v = {.z = z ? z->data : NULL,
                          .p = p ? p->data : NULL,
                          .w = input(node, W)->data,
                          .ids = ids->data,
                          .kept = input(node, KEPT)->data,
                          .tokens = input(node, TOKENS)->data,
                          .N = ids->dim[0],
                          .E = ((const stats_attr *)node->attr)->E,
                          .K = ids->dim[1]};
    router_stats_fwd(node->out[0]->data, node->scratch, &v);
}

static size_t router_stats_scratch(const mo_node *node, mo_phase phase)
{
    (void)phase;
    return (size_t)chunks_of(input(node, IDS)->dim[0]) * mo_tensor_bytes(node->out[0]);
}

static mo_cost router_stats_cost(const mo_node *node, mo_phase phase)
{
    const mo_tensor *z = input(node, Z), *p = input(node, P), *ids = input(node, IDS);
    double scores = z ? (double)mo_tensor_count(z) : 0, shares = p ? (double)mo_tensor_count(p) : 0,
           choices = (double)mo_tensor_count(ids), bytes = 2 * sizeof(int32_t) + sizeof(mo_real);
    if (phase == MO_BACKWARD) return (mo_cost){0, 0};
    return (mo_cost){14 * scores + 26 * shares + 4 * choices,
                     (scores + shares) * sizeof(mo_real) + choices * bytes};
}

const mo_op mo__op_router_stats = {.name = "router_stats",
                                   .shape = router_stats_shape,
                                   .forward = router_stats_forward,
                                   .flags = MO_OP_KEEP,
                                   .scratch = router_stats_scratch,
                                   .cost = router_stats_cost};

mo_tensor *mo_router_stats(mo_graph *g, const mo_router_view *view, int64_t E)
{
    mo_tensor *const all[INPUTS] = {[Z] = view->z_NE,       [P] = view->p_NE, [IDS] = view->ids_NK,
                                    [KEPT] = view->kept_NK, [W] = view->w_NK, [TOKENS] = view->tokens_N};
    mo_tensor *in[INPUTS];
    stats_attr attr = {.E = E};
    int n = 0;
    for (int i = 0; i < INPUTS; i++) {
        bool absent = !all[i] && (i == Z || i == P);
        attr.place[i] = absent ? -1 : n;
        if (!absent) in[n++] = all[i];
    }
    mo_node *node = mo_graph_node(g, &mo__op_router_stats, n, in, &attr, sizeof attr);
    return node ? node->out[0] : NULL;
}
