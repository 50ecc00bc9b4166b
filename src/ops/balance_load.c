/* balance_load.c -- the load loss (Shazeer et al. 2017, arXiv:1701.06538, eq. 8-11): CV^2 of how many tokens
 * each expert would get if its own noise were drawn again, a count that has a gradient
 *   loss = CV^2(X)      X_e = sum_n Phi(t_ne)      t_ne = (z_ne - h_nj) / sigma_ne
 *   j: the K-th largest of h_n without e, that is the (K+1)-th of h_n if e is chosen, else the K-th
 *   dz_ne += q      dh_nj -= q      dsigma_ne -= q t_ne      q = dloss/dX_e phi(t_ne) / sigma_ne
 * z_NE (clean), h_NE (noisy), sigma_NE, ids_NK (top-K of h) in; Phi and phi are the standard normal's
 * distribution and density; sigma = 0 is the limit, a step. Where K = E (no threshold) and in evaluation (no
 * noise) X_e counts assignments, and no gradient flows. Population variance; a group of mean 0 adds nothing.
 * Threads: sums as in balance.c, gradients over rows. */
#include "ops/balance.h"

typedef struct {
    int64_t group;
} balance_load_attr;

enum { CHUNK = 64 }; /* experts at once */

typedef struct {
    const mo_real *z_NE, *h_NE, *sigma_NE;
    const int32_t *ids_NK;
    int64_t E, K;
    bool hard;
} load_rows;

static bool chosen(const int32_t *id_K, int64_t K, int64_t e)
{
    for (int64_t k = 0; k < K; k++)
        if (id_K[k] == e) return true;
    return false;
}

/* The (K+1)-th largest; K < E. */
static int64_t runner_up(const mo_real *h, const int32_t *id_K, int64_t E, int64_t K)
{
    int64_t best = -1;
    for (int64_t e = 0; e < E; e++)
        if (!chosen(id_K, K, e) && (best < 0 || h[e] > h[best])) best = e;
    return best;
}

/* h_nj for experts [first, first + count). */
static void thresholds(mo_real *limit, const load_rows *rows, int64_t n, int64_t next, int64_t first,
                       int64_t count)
{
    const mo_real *h = rows->h_NE + n * rows->E;
    const int32_t *id = rows->ids_NK + n * rows->K;
    for (int64_t i = 0; i < count; i++) limit[i] = h[id[rows->K - 1]];
    for (int64_t k = 0; k < rows->K; k++)
        if (id[k] >= first && id[k] < first + count) limit[id[k] - first] = h[next];
}

/* d / sigma, and its limit for sigma = 0. */
static mo_real scaled(mo_real d, mo_real sigma)
{
    return d == 0 ? 0 : d / sigma;
}

static void add_smooth_row(double *x_E, const load_rows *rows, int64_t n)
{
    const mo_real *z = rows->z_NE + n * rows->E, *sigma = rows->sigma_NE + n * rows->E;
    int64_t next = runner_up(rows->h_NE + n * rows->E, rows->ids_NK + n * rows->K, rows->E, rows->K);
    mo_real limit[CHUNK];
    for (int64_t first = 0; first < rows->E; first += CHUNK) {
        int64_t count = mo_min(CHUNK, rows->E - first);
        thresholds(limit, rows, n, next, first, count);
#pragma omp simd
        for (int64_t i = 0; i < count; i++)
            x_E[first + i] += (double)mo_normal_cdf(scaled(z[first + i] - limit[i], sigma[first + i]));
    }
}

static void add_load(double *sum, const void *from, int64_t first, int64_t last)
{
    const load_rows *rows = from;
    for (int64_t n = first; n < last; n++) {
        const int32_t *id = rows->ids_NK + n * rows->K;
        if (id[0] < 0) continue;
        sum[0]++;
        if (rows->hard)
            for (int64_t k = 0; k < rows->K; k++) sum[1 + id[k]]++;
        else
            add_smooth_row(sum + 1, rows, n);
    }
}

/* q and q t of experts [first, first + count); 0 where Phi is flat, as it is for sigma = 0. */
static void slopes_of(mo_real *q, mo_real *qt, const load_rows *rows, const mo_real *limit,
                      const double *slope_E, int64_t n, int64_t first, int64_t count)
{
    const mo_real *z = rows->z_NE + n * rows->E + first, *sigma = rows->sigma_NE + n * rows->E + first;
#pragma omp simd
    for (int64_t i = 0; i < count; i++) {
        mo_real t = scaled(z[i] - limit[i], sigma[i]), density = mo_normal_pdf(t);
        bool flat = density == 0 || sigma[i] == 0;
        q[i] = flat ? 0 : (mo_real)slope_E[first + i] * density / sigma[i];
        qt[i] = flat ? 0 : q[i] * t;
    }
}

/* The gradients of one row, added to dz, dh, dsigma; each may be NULL. */
static void load_row_bwd(mo_real *dz, mo_real *dh, mo_real *dsigma, const load_rows *rows,
                         const double *slope_E, int64_t n)
{
    const int32_t *id = rows->ids_NK + n * rows->K;
    int64_t E = rows->E, K = rows->K, next = runner_up(rows->h_NE + n * E, id, E, K);
    mo_real limit[CHUNK], q[CHUNK], qt[CHUNK], of_chosen = 0, of_others = 0;
    for (int64_t first = 0; first < E; first += CHUNK) {
        int64_t count = mo_min(CHUNK, E - first);
        thresholds(limit, rows, n, next, first, count);
        slopes_of(q, qt, rows, limit, slope_E, n, first, count);
        for (int64_t i = 0; dz && i < count; i++) dz[first + i] += q[i];
        for (int64_t i = 0; dsigma && i < count; i++) dsigma[first + i] -= qt[i];
        for (int64_t k = 0; k < K; k++) {
            if (id[k] < first || id[k] >= first + count) continue;
            of_chosen += q[id[k] - first];
            q[id[k] - first] = 0;
        }
        for (int64_t i = 0; i < count; i++) of_others += q[i];
    }
    if (!dh) return;
    dh[next] -= of_chosen;
    dh[id[K - 1]] -= of_others;
}

static void load_bwd(mo_real *dz_NE, mo_real *dh_NE, mo_real *dsigma_NE, const load_rows *rows,
                     const double *slopes, int64_t group, const bool *accumulate, int64_t N)
{
    int64_t E = rows->E;
    mo_real *const d_NE[] = {dz_NE, dh_NE, dsigma_NE};
#pragma omp parallel for schedule(static)
    for (int64_t n = 0; n < N; n++) {
        mo_real *d[3];
        for (int i = 0; i < 3; i++) {
            d[i] = d_NE[i] ? d_NE[i] + n * E : NULL;
            if (d[i] && !accumulate[i]) memset(d[i], 0, (size_t)E * sizeof *d[i]);
        }
        if (!rows->hard && rows->ids_NK[n * rows->K] >= 0)
            load_row_bwd(d[0], d[1], d[2], rows, slopes + n / group * (1 + E) + 1, n);
    }
}

static mo_status balance_load_shape(mo_node *node)
{
    const mo_tensor *z = node->in[0];
    for (int i = 0; i < 3; i++)
        if (node->in[i]->dtype != MO_REAL || node->in[i]->ndim != 2 || node->in[i]->dim[0] != z->dim[0] ||
            node->in[i]->dim[1] != z->dim[1])
            return mo_error(MO_E_SHAPE,
                            "balance_load: z %s, h %s and sigma %s do not fit; expected three [N, E]",
                            mo_shape(z).text, mo_shape(node->in[1]).text, mo_shape(node->in[2]).text);
    MO_TRY(mo__ids_check("balance_load", node->in[3], z->dim[0], z->dim[1]));
    MO_TRY(mo__group_check("balance_load", z->dim[0], ((const balance_load_attr *)node->attr)->group));
    return mo_node_output(node, "", MO_F64, 1, (int64_t[]){1});
}

static load_rows load_rows_of(const mo_node *node, const mo_run *run)
{
    int64_t E = node->in[0]->dim[1], K = node->in[3]->dim[1];
    return (load_rows){node->in[0]->data,       node->in[1]->data, node->in[2]->data, node->in[3]->data, E, K,
                       K == E || !run->training};
}

/* [groups, 1 + E]: valid tokens, X_e. */
static double *load_sums(const mo_node *node, const load_rows *rows)
{
    return mo__group_sums(node->scratch, node->in[0]->dim[0], ((const balance_load_attr *)node->attr)->group,
                          1 + rows->E, add_load, rows);
}

static void balance_load_forward(const mo_node *node, const mo_run *run)
{
    load_rows rows = load_rows_of(node, run);
    int64_t groups = node->in[0]->dim[0] / ((const balance_load_attr *)node->attr)->group;
    *(double *)node->out[0]->data = mo__cv2(load_sums(node, &rows), groups, rows.E);
}

static void balance_load_backward(const mo_node *node, const mo_run *run)
{
    load_rows rows = load_rows_of(node, run);
    int64_t N = node->in[0]->dim[0], group = ((const balance_load_attr *)node->attr)->group;
    double *sums = load_sums(node, &rows);
    mo__cv2_bwd(sums, (double)*node->out[0]->grad, N / group, rows.E);
    load_bwd(node->in[0]->grad, node->in[1]->grad, node->in[2]->grad, &rows, sums, group, node->accumulate,
             N);
}

static size_t balance_load_scratch(const mo_node *node, mo_phase phase)
{
    (void)phase;
    const mo_tensor *z = node->in[0];
    return mo__group_scratch(z->dim[0], ((const balance_load_attr *)node->attr)->group, 1 + z->dim[1]);
}

/* Phi and phi count as 20 each. */
static mo_cost balance_load_cost(const mo_node *node, mo_phase phase)
{
    double n = (double)mo_tensor_count(node->in[0]);
    return phase == MO_FORWARD ? (mo_cost){24 * n, 3 * n * sizeof(mo_real)}
                               : (mo_cost){50 * n, 6 * n * sizeof(mo_real)};
}

const mo_op mo__op_balance_load = {.name = "balance_load",
                                   .shape = balance_load_shape,
                                   .forward = balance_load_forward,
                                   .backward = balance_load_backward,
                                   .needs_in = MO_NEEDS(0) | MO_NEEDS(1) | MO_NEEDS(2) | MO_NEEDS(3),
                                   .scratch = balance_load_scratch,
                                   .cost = balance_load_cost};

mo_tensor *mo_balance_load(mo_graph *g, mo_tensor *z_NE, mo_tensor *h_NE, mo_tensor *sigma_NE,
                           mo_tensor *ids_NK, int64_t group)
{
    balance_load_attr attr = {group};
    mo_tensor *in[] = {z_NE, h_NE, sigma_NE, ids_NK};
    mo_node *node = mo_graph_node(g, &mo__op_balance_load, 4, in, &attr, sizeof attr);
    return node ? node->out[0] : NULL;
}
