/* z_loss.c -- the router z-loss (Zoph et al. 2022, ST-MoE, arXiv:2202.08906, eq. 5)
 *   loss = sum_n L_n^2      L_n = log sum_e exp(z_ne)      dz_ne = 2 L_n softmax(z_n)_e
 * z_NE (clean logits) and tokens_N in; padding (tokens_n < 0) adds nothing. The paper's loss is this over
 * the number of tokens.
 * Threads: sums as in balance.c, dz over rows. */
#include "ops/balance.h"

typedef struct {
    const mo_real *z_NE;
    const int32_t *tokens_N;
    int64_t E;
} z_rows;

static double logsumexp(const mo_real *z, int64_t E)
{
    mo_real max = mo_row_max(z, E), sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t e = 0; e < E; e++) sum += mo_exp(z[e] - max);
    // cppcheck-suppress invalidFunctionArg -- E is at least 1
    return (double)max + log((double)sum);
}

static void add_z(double *sum, const void *from, int64_t first, int64_t last)
{
    const z_rows *rows = from;
    for (int64_t n = first; n < last; n++) {
        double L = rows->tokens_N[n] < 0 ? 0 : logsumexp(rows->z_NE + n * rows->E, rows->E);
        *sum += L * L;
    }
}

static void z_loss_bwd(mo_real *dz_NE, const z_rows *rows, double dloss, bool accumulate, int64_t N)
{
    int64_t E = rows->E;
#pragma omp parallel for schedule(static)
    for (int64_t n = 0; n < N; n++) {
        const mo_real *z = rows->z_NE + n * E;
        mo_real *dz = dz_NE + n * E;
        if (!accumulate) memset(dz, 0, (size_t)E * sizeof *dz);
        if (rows->tokens_N[n] < 0) continue;
        double L = logsumexp(z, E);
        mo_real slope = (mo_real)(2 * L * dloss);
#pragma omp simd
        for (int64_t e = 0; e < E; e++) dz[e] += slope * mo_exp(z[e] - (mo_real)L);
    }
}

static mo_status z_loss_shape(mo_node *node)
{
    const mo_tensor *z = node->in[0], *tokens = node->in[1];
    if (z->dtype != MO_REAL || z->ndim != 2 || tokens->ndim != 1 || tokens->dim[0] != z->dim[0] ||
        tokens->dtype != MO_I32)
        return mo_error(MO_E_SHAPE,
                        "z_loss: logits %s and tokens %s do not fit; expected [N, E] and int32 [N]",
                        mo_shape(z).text, mo_shape(tokens).text);
    return mo_node_output(node, "", MO_F64, 1, (int64_t[]){1});
}

static z_rows z_rows_of(const mo_node *node)
{
    return (z_rows){node->in[0]->data, node->in[1]->data, node->in[0]->dim[1]};
}

static void z_loss_forward(const mo_node *node, const mo_run *run)
{
    (void)run;
    z_rows rows = z_rows_of(node);
    int64_t N = node->in[0]->dim[0];
    *(double *)node->out[0]->data = *mo__group_sums(node->scratch, N, N, 1, add_z, &rows);
}

static void z_loss_backward(const mo_node *node, const mo_run *run)
{
    (void)run;
    z_rows rows = z_rows_of(node);
    z_loss_bwd(node->in[0]->grad, &rows, (double)*node->out[0]->grad, node->accumulate[0],
               node->in[0]->dim[0]);
}

static size_t z_loss_scratch(const mo_node *node, mo_phase phase)
{
    int64_t N = node->in[0]->dim[0];
    return phase == MO_FORWARD ? mo__group_scratch(N, N, 1) : 0;
}

/* An exponential counts as 10. */
static mo_cost z_loss_cost(const mo_node *node, mo_phase phase)
{
    double n = (double)mo_tensor_count(node->in[0]);
    return phase == MO_FORWARD ? (mo_cost){12 * n, n * sizeof(mo_real)}
                               : (mo_cost){24 * n, 2 * n * sizeof(mo_real)};
}

const mo_op mo__op_z_loss = {.name = "z_loss",
                             .shape = z_loss_shape,
                             .forward = z_loss_forward,
                             .backward = z_loss_backward,
                             .needs_in = MO_NEEDS(0) | MO_NEEDS(1),
                             .scratch = z_loss_scratch,
                             .cost = z_loss_cost};

mo_tensor *mo_z_loss(mo_graph *g, mo_tensor *z_NE, mo_tensor *tokens_N)
{
    mo_node *node = mo_graph_node(g, &mo__op_z_loss, 2, (mo_tensor *[]){z_NE, tokens_N}, NULL, 0);
    return node ? node->out[0] : NULL;
}
