/* balance_load_two.c -- the load loss of a router in two levels (Shazeer et al. 2017, arXiv:1701.06538,
 * appendix B, eq. 14)
 *   loss = CV^2(X)      X_gj = A_g S_gj / n_g
 *   A_g  = sum_n Phi of the first level: Load_primary      n_g: tokens that chose group g, |X^(g)|
 *   S_gj = sum over those tokens of Phi of the second level within g: Load_g(X^(g))_j
 *   dS_gj = dX_gj A_g / n_g      dA_g = sum_j dX_gj S_gj / n_g      n is counted; Phi: smooth_load.h
 * First level: z, h, sigma [N, G], ids [N, J] (top-J of h). Second: z, h, sigma [N, E], ids [N, J*K] (top-K
 * of h in each chosen group, in the order of the first's ids). tokens_N. A group that nobody chose, 0/0 in
 * the paper, counts as even, S_gj / n_g = K / (E/G): so A_g, which is not quite 0, keeps its gradient. Each
 * level counts without gradient where it takes all, and both do in evaluation: then X_e counts assignments.
 * Threads: sums as in balance.c, gradients over rows. */
#include "ops/balance.h"
#include "ops/smooth_load.h"

typedef struct {
    int64_t group;
} balance_load_two_attr;

static int64_t group_of(const mo_node *node)
{
    return ((const balance_load_two_attr *)node->attr)->group;
}

typedef struct {
    mo__load_row first, second; /* token 0's; second: of its first group, K of E/G */
    const int32_t *tokens_N;
    int64_t E;
} two_rows;

/* Sums of one group of tokens: valid tokens, A_G, n_G, S_E. */
static int64_t sums_width(const two_rows *rows)
{
    return 1 + 2 * rows->first.E + rows->E;
}

static mo__load_row first_row(const two_rows *rows, int64_t n)
{
    mo__load_row row = rows->first;
    int64_t at = n * row.E;
    row.z += at;
    row.h += at;
    row.sigma += at;
    row.id += n * row.K;
    return row;
}

/* Of token n's choice j, group g. */
static mo__load_row second_row(const two_rows *rows, int64_t n, int64_t j, int64_t g)
{
    mo__load_row row = rows->second;
    int64_t at = n * rows->E + g * row.E;
    row.z += at;
    row.h += at;
    row.sigma += at;
    row.id += (n * rows->first.K + j) * row.K;
    row.base = (int32_t)(g * row.E);
    return row;
}

static void add_two(double *sum, const void *from, int64_t first, int64_t last)
{
    const two_rows *rows = from;
    int64_t G = rows->first.E;
    double *primary = sum + 1, *tokens = primary + G, *secondary = tokens + G;
    for (int64_t n = first; n < last; n++) {
        if (rows->tokens_N[n] < 0) continue;
        mo__load_row row = first_row(rows, n);
        sum[0]++;
        mo__load_row_add(primary, &row);
        for (int64_t j = 0; j < row.K; j++) {
            if (row.id[j] < 0) continue;
            mo__load_row inner = second_row(rows, n, j, row.id[j]);
            tokens[row.id[j]]++;
            mo__load_row_add(secondary + inner.base, &inner);
        }
    }
}

/* S_e / n_g of an expert of group g. */
static double share_within(const two_rows *rows, const double *sum, int64_t g, int64_t e)
{
    int64_t G = rows->first.E;
    double tokens = sum[1 + G + g];
    return tokens > 0 ? sum[1 + 2 * G + e] / tokens : (double)rows->second.K / (double)rows->second.E;
}

/* x: [groups, 1 + E], valid tokens and X_e. */
static void join_levels(double *x, const double *sums, const two_rows *rows, int64_t groups)
{
    for (int64_t i = 0; i < groups; i++) {
        const double *sum = sums + i * sums_width(rows);
        double *to = x + i * (1 + rows->E);
        to[0] = sum[0];
        for (int64_t e = 0; e < rows->E; e++) {
            int64_t g = e / rows->second.E;
            to[1 + e] = sum[1 + g] * share_within(rows, sum, g, e);
        }
    }
}

/* Replaces A by dA and S by dS, from dx: [groups, 1 + E], of which dX_e are read. */
static void split_levels(double *sums, const double *dx, const two_rows *rows, int64_t groups)
{
    int64_t G = rows->first.E, within = rows->second.E;
    for (int64_t i = 0; i < groups; i++) {
        double *sum = sums + i * sums_width(rows), *secondary = sum + 1 + 2 * G;
        const double *from = dx + i * (1 + rows->E) + 1;
        for (int64_t g = 0; g < G; g++) {
            double primary = sum[1 + g], tokens = sum[1 + G + g], slope = 0;
            for (int64_t e = g * within; e < (g + 1) * within; e++) {
                slope += from[e] * share_within(rows, sum, g, e);
                secondary[e] = tokens > 0 ? from[e] * primary / tokens : 0;
            }
            sum[1 + g] = slope;
        }
    }
}

static void row_bwd(mo_real *const *d1_G, mo_real *const *d2_E, const two_rows *rows, const double *slopes,
                    int64_t n)
{
    mo__load_row row = first_row(rows, n);
    mo__load_row_bwd(d1_G[0], d1_G[1], d1_G[2], &row, slopes + 1);
    for (int64_t j = 0; j < row.K; j++) {
        if (row.id[j] < 0) continue;
        mo__load_row inner = second_row(rows, n, j, row.id[j]);
        mo_real *d[3];
        for (int i = 0; i < 3; i++) d[i] = d2_E[i] ? d2_E[i] + inner.base : NULL;
        mo__load_row_bwd(d[0], d[1], d[2], &inner, slopes + 1 + 2 * row.E + inner.base);
    }
}

static void two_bwd(const mo_node *node, const two_rows *rows, const double *slopes)
{
    int64_t N = node->in[0]->dim[0], group = group_of(node);
#pragma omp parallel for schedule(static)
    for (int64_t n = 0; n < N; n++) {
        mo_real *d[2][3];
        for (int i = 0; i < 6; i++) {
            int at = i / 3 * 4 + i % 3;
            int64_t width = node->in[at]->dim[1];
            mo_real *row = node->in[at]->grad ? node->in[at]->grad + n * width : NULL;
            if (row && !node->accumulate[at]) memset(row, 0, (size_t)width * sizeof *row);
            d[i / 3][i % 3] = row;
        }
        if (rows->tokens_N[n] >= 0) row_bwd(d[0], d[1], rows, slopes + n / group * sums_width(rows), n);
    }
}

static two_rows two_rows_of(const mo_node *node, bool training)
{
    mo_tensor *const *a = node->in, *const *b = node->in + 4;
    int64_t G = a[0]->dim[1], J = a[3]->dim[1], within = b[0]->dim[1] / G, K = b[3]->dim[1] / J;
    bool take_groups = J == G || !training, take_experts = K == within || !training;
    return (two_rows){{a[0]->data, a[1]->data, a[2]->data, a[3]->data, G, J, 0, take_groups},
                      {b[0]->data, b[1]->data, b[2]->data, b[3]->data, within, K, 0, take_experts},
                      node->in[8]->data,
                      b[0]->dim[1]};
}

static mo_status balance_load_two_shape(mo_node *node)
{
    mo_tensor *const *a = node->in, *const *b = node->in + 4;
    MO_TRY(mo__load_check("balance_load_two", a));
    MO_TRY(mo__load_check("balance_load_two", b));
    int64_t N = a[0]->dim[0], G = a[0]->dim[1], E = b[0]->dim[1], J = a[3]->dim[1];
    if (b[0]->dim[0] != N || E % G || b[3]->dim[1] % J || b[3]->dim[1] / J > E / G)
        return mo_error(
            MO_E_SHAPE,
            "balance_load_two: groups %s, %s chosen, and experts %s, %s chosen, do not fit; expected "
            "[N, G], [N, J], [N, E], [N, J*K], G a divisor of E and K at most E/G",
            mo_shape(a[0]).text, mo_shape(a[3]).text, mo_shape(b[0]).text, mo_shape(b[3]).text);
    MO_TRY(mo__tokens_check("balance_load_two", node->in[8], N));
    MO_TRY(mo__group_check("balance_load_two", N, group_of(node)));
    return mo_node_output(node, "", MO_F64, 1, (int64_t[]){1});
}

/* Behind the sums that are made in it, scratch has room for x. */
static double *place_of_x(const mo_node *node, const two_rows *rows)
{
    size_t sums = mo__group_scratch(node->in[0]->dim[0], group_of(node), sums_width(rows));
    return (double *)node->scratch + sums / sizeof(double);
}

static double *two_sums(const mo_node *node, const two_rows *rows, double *x)
{
    int64_t N = node->in[0]->dim[0];
    double *sums = mo__group_sums(node->scratch, N, group_of(node), sums_width(rows), add_two, rows);
    join_levels(x, sums, rows, N / group_of(node));
    return sums;
}

static void balance_load_two_forward(const mo_node *node, const mo_run *run)
{
    two_rows rows = two_rows_of(node, run->training);
    double *x = place_of_x(node, &rows);
    two_sums(node, &rows, x);
    *(double *)node->out[0]->data = mo__cv2(x, node->in[0]->dim[0] / group_of(node), rows.E);
}

static void balance_load_two_backward(const mo_node *node, const mo_run *run)
{
    two_rows rows = two_rows_of(node, run->training);
    int64_t groups = node->in[0]->dim[0] / group_of(node);
    double *x = place_of_x(node, &rows), *sums = two_sums(node, &rows, x);
    mo__cv2_bwd(x, (double)*node->out[0]->grad, groups, rows.E);
    split_levels(sums, x, &rows, groups);
    two_bwd(node, &rows, sums);
}

static size_t balance_load_two_scratch(const mo_node *node, mo_phase phase)
{
    (void)phase;
    two_rows rows = two_rows_of(node, true);
    int64_t N = node->in[0]->dim[0], group = group_of(node);
    return mo__group_scratch(N, group, sums_width(&rows)) +
           (size_t)(N / group * (1 + rows.E)) * sizeof(double);
}

/* Phi and phi count as 20 each; of the second level only the chosen groups are seen. */
static mo_cost balance_load_two_cost(const mo_node *node, mo_phase phase)
{
    const mo_tensor *first = node->in[0], *second = node->in[4];
    double seen = (double)node->in[3]->dim[1] / (double)first->dim[1];
    double n = (double)mo_tensor_count(first) + seen * (double)mo_tensor_count(second);
    return phase == MO_FORWARD ? (mo_cost){24 * n, 3 * n * sizeof(mo_real)}
                               : (mo_cost){50 * n, 6 * n * sizeof(mo_real)};
}

const mo_op mo__op_balance_load_two = {.name = "balance_load_two",
                                       .shape = balance_load_two_shape,
                                       .forward = balance_load_two_forward,
                                       .backward = balance_load_two_backward,
                                       .needs_in = MO_NEEDS_ALL,
                                       .scratch = balance_load_two_scratch,
                                       .cost = balance_load_two_cost};

mo_tensor *mo_balance_load_two(mo_graph *g, const mo_noisy_choice *first, const mo_noisy_choice *second,
                               mo_tensor *tokens_N, int64_t group)
{
    balance_load_two_attr attr = {group};
    mo_tensor *in[] = {first->z_NE,  first->h_NE,      first->sigma_NE, first->ids_NK, second->z_NE,
                       second->h_NE, second->sigma_NE, second->ids_NK,  tokens_N};
    mo_node *node = mo_graph_node(g, &mo__op_balance_load_two, 9, in, &attr, sizeof attr);
    return node ? node->out[0] : NULL;
}
