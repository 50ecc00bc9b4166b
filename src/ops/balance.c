/* balance.c -- see balance.h.
 * Threads: sums over blocks of BLOCK rows, added up block after block; gradients over rows. */
#include "ops/balance.h"

enum { BLOCK = 128 };

static int64_t blocks_of(int64_t group)
{
    return (group + BLOCK - 1) / BLOCK;
}

size_t mo__group_scratch(int64_t N, int64_t group, int64_t width)
{
    return (size_t)(N / group) * (size_t)blocks_of(group) * (size_t)width * sizeof(double);
}

double *mo__group_sums(void *scratch, int64_t N, int64_t group, int64_t width, mo__add_rows *add,
                       const void *from)
{
    double *sums = scratch;
    int64_t groups = N / group, blocks = blocks_of(group);
#pragma omp parallel for schedule(static)
    for (int64_t b = 0; b < groups * blocks; b++) {
        int64_t start = b / blocks * group, first = start + b % blocks * BLOCK;
        memset(sums + b * width, 0, (size_t)width * sizeof *sums);
        add(sums + b * width, from, first, mo_min(first + BLOCK, start + group));
    }
    /* Group g's sum lands at g <= g * blocks: on its own first block or on one already added up. */
    for (int64_t g = 0; g < groups; g++) {
        double *sum = sums + g * width;
        memmove(sum, sums + g * blocks * width, (size_t)width * sizeof *sum);
        for (int64_t b = 1; b < blocks; b++)
            for (int64_t i = 0; i < width; i++) sum[i] += sums[(g * blocks + b) * width + i];
    }
    return sums;
}

mo_status mo__group_check(const char *op, int64_t N, int64_t group)
{
    if (group < 1 || N % group)
        return mo_error(MO_E_SHAPE, "%s: groups of %lld tokens do not divide %lld tokens", op,
                        (long long)group, (long long)N);
    return MO_OK;
}

mo_status mo__ids_check(const char *op, const mo_tensor *ids, int64_t N, int64_t E)
{
    if (ids->ndim != 2 || ids->dtype != MO_I32 || ids->dim[0] != N || ids->dim[1] > E)
        return mo_error(MO_E_SHAPE, "%s: ids are %s; expected int32 [%lld, K], K at most the %lld experts",
                        op, mo_shape(ids).text, (long long)N, (long long)E);
    return MO_OK;
}

mo_status mo__tokens_check(const char *op, const mo_tensor *tokens, int64_t N)
{
    if (tokens->ndim != 1 || tokens->dtype != MO_I32 || tokens->dim[0] != N)
        return mo_error(MO_E_SHAPE, "%s: tokens are %s; expected int32 [%lld]", op, mo_shape(tokens).text,
                        (long long)N);
    return MO_OK;
}

mo_status mo__load_check(const char *op, mo_tensor *const in[4])
{
    const mo_tensor *z = in[0];
    for (int i = 0; i < 3; i++)
        if (in[i]->dtype != MO_REAL || in[i]->ndim != 2 || in[i]->dim[0] != z->dim[0] ||
            in[i]->dim[1] != z->dim[1])
            return mo_error(MO_E_SHAPE, "%s: z %s, h %s and sigma %s do not fit; expected three [N, E]", op,
                            mo_shape(z).text, mo_shape(in[1]).text, mo_shape(in[2]).text);
    return mo__ids_check(op, in[3], z->dim[0], z->dim[1]);
}

/* ---- f.P: sums are [valid rows of all layers, assignments_E, sum of p_E] ---- */

typedef struct {
    mo_tensor *const *p_NE, *const *ids_NK;
    const int32_t *tokens_N;
    int64_t layers, E, K, choices;
    bool counts_only;
} share_rows;

static share_rows share_rows_of(const mo_node *node, const mo__share *share, bool counts_only)
{
    int64_t layers = node->n_in / 2;
    mo_tensor *const *in = node->in;
    return (share_rows){in,
                        in + layers,
                        in[2 * layers]->data,
                        layers,
                        in[0]->dim[1],
                        in[layers]->dim[1],
                        share->choices,
                        counts_only};
}

mo_status mo__share_check(const char *op, const mo_node *node, int64_t group)
{
    int64_t layers = node->n_in / 2;
    const mo_tensor *first = node->in[0], *first_ids = node->in[layers];
    if (first->dtype != MO_REAL || first->ndim != 2)
        return mo_error(MO_E_SHAPE, "%s: p is %s; expected [N, E]", op, mo_shape(first).text);
    for (int64_t l = 0; l < layers; l++) {
        const mo_tensor *p = node->in[l], *ids = node->in[layers + l];
        if (p->dtype != MO_REAL || p->ndim != 2 || p->dim[0] != first->dim[0] || p->dim[1] != first->dim[1])
            return mo_error(MO_E_SHAPE, "%s: p of layer %lld is %s; expected [N, E], as %s of layer 0", op,
                            (long long)l, mo_shape(p).text, mo_shape(first).text);
        MO_TRY(mo__ids_check(op, ids, p->dim[0], p->dim[1]));
        if (ids->dim[1] != first_ids->dim[1])
            return mo_error(MO_E_SHAPE,
                            "%s: ids of layer %lld are %s and of layer 0 %s; expected equal shapes", op,
                            (long long)l, mo_shape(ids).text, mo_shape(first_ids).text);
    }
    MO_TRY(mo__tokens_check(op, node->in[2 * layers], first->dim[0]));
    return mo__group_check(op, first->dim[0], group);
}

static void add_share_row(double *sum, const share_rows *from, int64_t layer, int64_t n)
{
    int64_t E = from->E;
    double *count = sum + 1, *mass = sum + 1 + E;
    const int32_t *id = (const int32_t *)from->ids_NK[layer]->data + n * from->K;
    sum[0]++;
    for (int64_t k = 0; k < from->choices; k++)
        if (id[k] >= 0) count[id[k]]++;
    if (from->counts_only) return;
    const mo_real *p = (const mo_real *)from->p_NE[layer]->data + n * E;
#pragma omp simd
    for (int64_t e = 0; e < E; e++) mass[e] += (double)p[e];
}

static void add_share_rows(double *sum, const void *from, int64_t first, int64_t last)
{
    const share_rows *rows = from;
    for (int64_t layer = 0; layer < rows->layers; layer++)
        for (int64_t n = first; n < last; n++)
            if (rows->tokens_N[n] >= 0) add_share_row(sum, rows, layer, n);
}

double mo__share_loss(const mo_node *node, const mo__share *share)
{
    share_rows from = share_rows_of(node, share, false);
    int64_t N = node->in[0]->dim[0], E = from.E, group = share->group, width = 1 + 2 * E;
    const double *sums = mo__group_sums(node->scratch, N, group, width, add_share_rows, &from);
    double loss = 0;
    for (int64_t g = 0; g < N / group; g++) {
        const double *rows = sums + g * width, *count = rows + 1, *mass = rows + 1 + E;
        double dot = 0;
        for (int64_t e = 0; e < E; e++) dot += count[e] * mass[e];
        if (*rows > 0) loss += share->scale * dot / (*rows * (double)from.layers);
    }
    return loss;
}

/* dp_ne = slope_ge, 0 for padding. */
static void share_bwd(mo_real *dp_NE, const double *sums, const int32_t *tokens_N, double scale,
                      int64_t group, bool accumulate, int64_t N, int64_t E)
{
#pragma omp parallel for schedule(static)
    for (int64_t n = 0; n < N; n++) {
        const double *rows = sums + n / group * (1 + 2 * E), *count = rows + 1;
        mo_real *dp = dp_NE + n * E;
        double slope = tokens_N[n] < 0 ? 0 : scale / *rows;
        for (int64_t e = 0; e < E; e++) dp[e] = (accumulate ? dp[e] : 0) + (mo_real)(slope * count[e]);
    }
}

void mo__share_loss_bwd(const mo_node *node, const mo__share *share)
{
    share_rows from = share_rows_of(node, share, true);
    int64_t N = node->in[0]->dim[0], E = from.E, group = share->group;
    const double *sums = mo__group_sums(node->scratch, N, group, 1 + 2 * E, add_share_rows, &from);
    double slope = share->scale * (double)*node->out[0]->grad / (double)from.layers;
    for (int64_t layer = 0; layer < from.layers; layer++) {
        mo_real *dp = from.p_NE[layer]->grad;
        if (dp) share_bwd(dp, sums, from.tokens_N, slope, group, node->accumulate[layer], N, E);
    }
}

size_t mo__share_loss_scratch(const mo_node *node, int64_t group)
{
    return mo__group_scratch(node->in[0]->dim[0], group, 1 + 2 * node->in[0]->dim[1]);
}

mo_cost mo__share_loss_cost(const mo_node *node, mo_phase phase)
{
    int layers = node->n_in / 2;
    double p = layers * (double)mo_tensor_count(node->in[0]),
           ids = layers * (double)mo_tensor_count(node->in[layers]);
    (void)phase;
    return (mo_cost){p + ids, p * sizeof(mo_real) + ids * sizeof(int32_t)};
}

/* ---- CV^2 ---- */

typedef struct {
    double mean, variance;
} moments;

static moments moments_of(const double *x_E, int64_t E)
{
    moments m = {0, 0};
    for (int64_t e = 0; e < E; e++) m.mean += x_E[e] / (double)E;
    for (int64_t e = 0; e < E; e++) m.variance += (x_E[e] - m.mean) * (x_E[e] - m.mean) / (double)E;
    return m;
}

double mo__cv2(const double *x, int64_t groups, int64_t E)
{
    double loss = 0;
    for (int64_t g = 0; g < groups; g++) {
        const double *valid = x + g * (1 + E);
        moments m = moments_of(valid + 1, E);
        if (m.mean != 0) loss += *valid * m.variance / (m.mean * m.mean);
    }
    return loss;
}

void mo__cv2_bwd(double *x, double dloss, int64_t groups, int64_t E)
{
    for (int64_t g = 0; g < groups; g++) {
        double *valid = x + g * (1 + E), *x_E = valid + 1;
        moments m = moments_of(x_E, E);
        double slope = m.mean != 0 ? dloss * *valid * 2 / ((double)E * m.mean * m.mean) : 0;
        double middle = m.mean != 0 ? m.mean + m.variance / m.mean : 0;
        for (int64_t e = 0; e < E; e++) x_E[e] = slope * (x_E[e] - middle);
    }
}
