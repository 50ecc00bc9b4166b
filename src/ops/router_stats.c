/* router_stats.c -- what a router did, summed over the valid tokens of a microbatch; for metrics only.
 *   load_e = #{(n, k): ids_nk = e}     entropy_n = logsumexp(z_n) - sum_e p_ne z_ne
 *   logsumexp(z_n) = max_e z_ne - log max_e p_ne
 * z_NE, p_NE = softmax(z), ids_NK in; stats [E + 4] out: loads, tokens, and the sums of the entropy, of the
 * largest p and of logsumexp(z)^2. No gradient.
 * Threads: rows in chunks of CHUNK, whose sums are added in order. */
#include "ops/kernels.h"

enum { CHUNK = 256, EXTRA = 4 };

static int64_t chunks_of(int64_t N)
{
    return (N + CHUNK - 1) / CHUNK;
}

static bool chosen(const int32_t *ids, int64_t K)
{
    for (int64_t k = 0; k < K; k++)
        if (ids[k] >= 0) return true;
    return false;
}

static void add_row(double *stats, const mo_real *z, const mo_real *p, const int32_t *ids, int64_t E,
                    int64_t K)
{
    double top = (double)mo_row_max(p, E), mean = 0;
    for (int64_t e = 0; e < E; e++) mean += (double)p[e] * (double)z[e];
    double lse = (double)mo_row_max(z, E) - log(top);
    for (int64_t k = 0; k < K; k++)
        if (ids[k] >= 0) stats[ids[k]] += 1;
    stats[E] += 1;
    stats[E + 1] += lse - mean;
    stats[E + 2] += top;
    stats[E + 3] += lse * lse;
}

static mo_status router_stats_shape(mo_node *node)
{
    const mo_tensor *z = node->in[0], *p = node->in[1], *ids = node->in[2];
    bool fits = z->dtype == MO_REAL && p->dtype == MO_REAL && ids->dtype == MO_I32 && z->ndim == 2 &&
                p->ndim == 2 && ids->ndim == 2;
    if (!fits || p->dim[0] != z->dim[0] || p->dim[1] != z->dim[1] || ids->dim[0] != z->dim[0] ||
        ids->dim[1] > z->dim[1])
        return mo_error(MO_E_SHAPE,
                        "router_stats: z %s, p %s, ids %s; expected twice [N, E] and int32 [N, K], K <= E",
                        mo_shape(z).text, mo_shape(p).text, mo_shape(ids).text);
    return mo_node_output(node, "", MO_F64, 1, (int64_t[]){z->dim[1] + EXTRA});
}

static void router_stats_forward(const mo_node *node, const mo_run *run)
{
    (void)run;
    const mo_real *z = node->in[0]->data, *p = node->in[1]->data;
    const int32_t *ids = node->in[2]->data;
    int64_t N = node->in[0]->dim[0], E = node->in[0]->dim[1], K = node->in[2]->dim[1], width = E + EXTRA;
    double *sums = node->scratch, *stats = node->out[0]->data;
#pragma omp parallel for schedule(static)
    for (int64_t c = 0; c < chunks_of(N); c++) {
        memset(sums + c * width, 0, (size_t)width * sizeof *sums);
        for (int64_t n = c * CHUNK; n < mo_min(N, (c + 1) * CHUNK); n++)
            if (chosen(ids + n * K, K)) add_row(sums + c * width, z + n * E, p + n * E, ids + n * K, E, K);
    }
    memset(stats, 0, (size_t)width * sizeof *stats);
    for (int64_t c = 0; c < chunks_of(N); c++)
        for (int64_t i = 0; i < width; i++) stats[i] += sums[c * width + i];
}

static size_t router_stats_scratch(const mo_node *node, mo_phase phase)
{
    (void)phase;
    return (size_t)(chunks_of(node->in[0]->dim[0]) * (node->in[0]->dim[1] + EXTRA)) * sizeof(double);
}

static mo_cost router_stats_cost(const mo_node *node, mo_phase phase)
{
    double n = (double)mo_tensor_count(node->in[0]);
    return phase == MO_FORWARD ? (mo_cost){4 * n, 2 * n * sizeof(mo_real)} : (mo_cost){0, 0};
}

const mo_op mo__op_router_stats = {.name = "router_stats",
                                   .shape = router_stats_shape,
                                   .forward = router_stats_forward,
                                   .flags = MO_OP_KEEP,
                                   .scratch = router_stats_scratch,
                                   .cost = router_stats_cost};

mo_tensor *mo_router_stats(mo_graph *g, mo_tensor *z_NE, mo_tensor *p_NE, mo_tensor *ids_NK)
{
    mo_node *node = mo_graph_node(g, &mo__op_router_stats, 3, (mo_tensor *[]){z_NE, p_NE, ids_NK}, NULL, 0);
    return node ? node->out[0] : NULL;
}
