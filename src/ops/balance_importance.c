/* balance_importance.c -- the importance loss (Shazeer et al. 2017, arXiv:1701.06538, eq. 6-7)
 *   X_e  = sum_n G(x_n)_e = sum of w_nk over ids_nk = e      loss = CV^2(X) = var(X) / mean(X)^2
 *   dw_nk = 2/(E mean^2) (X_e - mean - var/mean), e = ids_nk
 * w_NK, ids_NK and tokens_N in; population variance; a group whose mean is 0 adds nothing. In two levels
 * w_nk is the product of both gates, and X is the paper's Importance_H (appendix B, eq. 13). */
#include "ops/balance.h"

typedef struct {
    int64_t E, group;
} balance_importance_attr;

typedef struct {
    const mo_real *w_NK;
    const int32_t *ids_NK, *tokens_N;
    int64_t K;
} importance_rows;

static void add_importance(double *sum, const void *from, int64_t first, int64_t last)
{
    const importance_rows *rows = from;
    for (int64_t n = first; n < last; n++) {
        const int32_t *id = rows->ids_NK + n * rows->K;
        if (rows->tokens_N[n] < 0) continue;
        sum[0]++;
        for (int64_t k = 0; k < rows->K; k++)
            if (id[k] >= 0) sum[1 + id[k]] += (double)rows->w_NK[n * rows->K + k];
    }
}

static importance_rows importance_rows_of(const mo_node *node)
{
    return (importance_rows){node->in[0]->data, node->in[1]->data, node->in[2]->data, node->in[0]->dim[1]};
}

/* [groups, 1 + E]: valid tokens, X_e. */
static double *importance_sums(const mo_node *node, const importance_rows *rows)
{
    const balance_importance_attr *attr = node->attr;
    return mo__group_sums(node->scratch, node->in[0]->dim[0], attr->group, 1 + attr->E, add_importance, rows);
}

static void importance_bwd(mo_real *dw_NK, const double *slopes, const importance_rows *rows, int64_t group,
                           bool accumulate, int64_t N, int64_t E)
{
#pragma omp parallel for schedule(static)
    for (int64_t n = 0; n < N; n++) {
        const double *slope = slopes + n / group * (1 + E) + 1;
        for (int64_t i = n * rows->K; i < (n + 1) * rows->K; i++) {
            int32_t e = rows->tokens_N[n] < 0 ? -1 : rows->ids_NK[i];
            dw_NK[i] = (accumulate ? dw_NK[i] : 0) + (e < 0 ? 0 : (mo_real)slope[e]);
        }
    }
}

static mo_status balance_importance_shape(mo_node *node)
{
    const mo_tensor *w = node->in[0], *ids = node->in[1];
    const balance_importance_attr *attr = node->attr;
    if (w->dtype != MO_REAL || w->ndim != 2)
        return mo_error(MO_E_SHAPE, "balance_importance: w is %s; expected [N, K]", mo_shape(w).text);
    MO_TRY(mo__ids_check("balance_importance", ids, w->dim[0], attr->E));
    if (ids->dim[1] != w->dim[1])
        return mo_error(MO_E_SHAPE, "balance_importance: w %s and ids %s do not fit; expected two [N, K]",
                        mo_shape(w).text, mo_shape(ids).text);
    MO_TRY(mo__tokens_check("balance_importance", node->in[2], w->dim[0]));
    MO_TRY(mo__group_check("balance_importance", w->dim[0], attr->group));
    return mo_node_output(node, "", MO_F64, 1, (int64_t[]){1});
}

static void balance_importance_forward(const mo_node *node, const mo_run *run)
{
    (void)run;
    const balance_importance_attr *attr = node->attr;
    importance_rows rows = importance_rows_of(node);
    *(double *)node->out[0]->data =
        mo__cv2(importance_sums(node, &rows), node->in[0]->dim[0] / attr->group, attr->E);
}

static void balance_importance_backward(const mo_node *node, const mo_run *run)
{
    (void)run;
    const balance_importance_attr *attr = node->attr;
    importance_rows rows = importance_rows_of(node);
    int64_t N = node->in[0]->dim[0];
    double *sums = importance_sums(node, &rows);
    mo__cv2_bwd(sums, (double)*node->out[0]->grad, N / attr->group, attr->E);
    importance_bwd(node->in[0]->grad, sums, &rows, attr->group, node->accumulate[0], N, attr->E);
}

static size_t balance_importance_scratch(const mo_node *node, mo_phase phase)
{
    (void)phase;
    const balance_importance_attr *attr = node->attr;
    return mo__group_scratch(node->in[0]->dim[0], attr->group, 1 + attr->E);
}

static mo_cost balance_importance_cost(const mo_node *node, mo_phase phase)
{
    double n = (double)mo_tensor_count(node->in[0]), bytes = sizeof(mo_real) + sizeof(int32_t);
    return phase == MO_FORWARD ? (mo_cost){n, n * bytes} : (mo_cost){2 * n, n * (bytes + sizeof(mo_real))};
}

const mo_op mo__op_balance_importance = {.name = "balance_importance",
                                         .shape = balance_importance_shape,
                                         .forward = balance_importance_forward,
                                         .backward = balance_importance_backward,
                                         .needs_in = MO_NEEDS(0) | MO_NEEDS(1) | MO_NEEDS(2),
                                         .scratch = balance_importance_scratch,
                                         .cost = balance_importance_cost};

mo_tensor *mo_balance_importance(mo_graph *g, mo_tensor *w_NK, mo_tensor *ids_NK, mo_tensor *tokens_N,
                                 int64_t E, int64_t group)
{
    balance_importance_attr attr = {E, group};
    mo_tensor *in[] = {w_NK, ids_NK, tokens_N};
    mo_node *node = mo_graph_node(g, &mo__op_balance_importance, 3, in, &attr, sizeof attr);
    return node ? node->out[0] : NULL;
}
