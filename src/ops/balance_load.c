/* balance_load.c -- the load loss (Shazeer et al. 2017, arXiv:1701.06538, eq. 8-11): CV^2 of how many tokens
 * each expert would get if its own noise were drawn again, a count that has a gradient
 *   loss = CV^2(X)      X_e = sum_n Phi(t_ne)      (smooth_load.h)
 * z_NE (clean), h_NE (noisy), sigma_NE, ids_NK (top-K of h), tokens_N in. Where K = E (no threshold) and in
 * evaluation (no noise) X_e counts assignments, and no gradient flows. Population variance; a group of mean 0
 * adds nothing.
 * Threads: sums as in balance.c, gradients over rows. */
#include "ops/balance.h"
#include "ops/smooth_load.h"

typedef struct {
    int64_t group;
} balance_load_attr;

static int64_t group_of(const mo_node *node)
{
    return ((const balance_load_attr *)node->attr)->group;
}

typedef struct {
    mo__load_row first; /* token 0's */
    const int32_t *tokens_N;
} load_rows;

static load_rows load_rows_of(const mo_node *node, const mo_run *run)
{
    mo_tensor *const *in = node->in;
    int64_t E = in[0]->dim[1], K = in[3]->dim[1];
    return (load_rows){
        {in[0]->data, in[1]->data, in[2]->data, in[3]->data, E, K, 0, K == E || !run->training}, in[4]->data};
}

static mo__load_row row_of(const load_rows *rows, int64_t n)
{
    mo__load_row row = rows->first;
    int64_t at = n * row.E;
    row.z += at;
    row.h += at;
    row.sigma += at;
    row.id += n * row.K;
    return row;
}

static void add_load(double *sum, const void *from, int64_t first, int64_t last)
{
    const load_rows *rows = from;
    for (int64_t n = first; n < last; n++) {
        if (rows->tokens_N[n] < 0) continue;
        mo__load_row row = row_of(rows, n);
        sum[0]++;
        mo__load_row_add(sum + 1, &row);
    }
}

static void load_bwd(mo_real *const *d_NE, const bool *accumulate, const load_rows *rows,
                     const double *slopes, int64_t group, int64_t N)
{
    int64_t E = rows->first.E;
#pragma omp parallel for schedule(static)
    for (int64_t n = 0; n < N; n++) {
        mo_real *d[3];
        for (int i = 0; i < 3; i++) {
            d[i] = d_NE[i] ? d_NE[i] + n * E : NULL;
            if (d[i] && !accumulate[i]) memset(d[i], 0, (size_t)E * sizeof *d[i]);
        }
        if (rows->tokens_N[n] < 0) continue;
        mo__load_row row = row_of(rows, n);
        mo__load_row_bwd(d[0], d[1], d[2], &row, slopes + n / group * (1 + E) + 1);
    }
}

static mo_status balance_load_shape(mo_node *node)
{
    int64_t N = node->in[0]->dim[0];
    MO_TRY(mo__load_check("balance_load", node->in));
    MO_TRY(mo__tokens_check("balance_load", node->in[4], N));
    MO_TRY(mo__group_check("balance_load", N, group_of(node)));
    return mo_node_output(node, "", MO_F64, 1, (int64_t[]){1});
}

/* [groups, 1 + E]: valid tokens, X_e. */
static double *load_sums(const mo_node *node, const load_rows *rows)
{
    return mo__group_sums(node->scratch, node->in[0]->dim[0], group_of(node), 1 + rows->first.E, add_load,
                          rows);
}

static void balance_load_forward(const mo_node *node, const mo_run *run)
{
    load_rows rows = load_rows_of(node, run);
    int64_t groups = node->in[0]->dim[0] / group_of(node);
    *(double *)node->out[0]->data = mo__cv2(load_sums(node, &rows), groups, rows.first.E);
}

static void balance_load_backward(const mo_node *node, const mo_run *run)
{
    load_rows rows = load_rows_of(node, run);
    int64_t N = node->in[0]->dim[0], group = group_of(node);
    mo_real *d_NE[] = {node->in[0]->grad, node->in[1]->grad, node->in[2]->grad};
    double *sums = load_sums(node, &rows);
    mo__cv2_bwd(sums, (double)*node->out[0]->grad, N / group, rows.first.E);
    load_bwd(d_NE, node->accumulate, &rows, sums, group, N);
}

static size_t balance_load_scratch(const mo_node *node, mo_phase phase)
{
    (void)phase;
    const mo_tensor *z = node->in[0];
    return mo__group_scratch(z->dim[0], group_of(node), 1 + z->dim[1]);
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
                                   .needs_in = MO_NEEDS_ALL,
                                   .scratch = balance_load_scratch,
                                   .cost = balance_load_cost};

mo_tensor *mo_balance_load(mo_graph *g, const mo_noisy_choice *choice, mo_tensor *tokens_N, int64_t group)
{
    balance_load_attr attr = {group};
    mo_tensor *in[] = {choice->z_NE, choice->h_NE, choice->sigma_NE, choice->ids_NK, tokens_N};
    mo_node *node = mo_graph_node(g, &mo__op_balance_load, 5, in, &attr, sizeof attr);
    return node ? node->out[0] : NULL;
}
