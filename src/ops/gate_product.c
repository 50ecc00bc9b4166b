/* gate_product.c -- weights of a two-level selection (Shazeer et al. 2017, arXiv:1701.06538, eq. 12)
 *   w_n,jK+i = u_nj q_ji, q_j = softmax of h over the ids of block j (the experts chosen in group j)
 *   du_nj = sum_i dw_ji q_ji            dh_e = u_nj q_ji (dw_ji - du_nj) for e the i-th id of block j, else 0
 * u_NJ (weights of the groups), h_NE and ids [N, J*K] in, w as ids out; an id of -1 has weight 0 and no part
 * in its softmax. Backward reads all three and makes q again.
 * Threads: over rows. */
#include "ops/kernels.h"

/* exp(h - max) summed over a block's ids, and that max. */
typedef struct {
    mo_real max, sum;
} block_total;

static block_total total_of(const mo_real *h, const int32_t *id, int64_t K)
{
    block_total t = {-(mo_real)INFINITY, 0};
    for (int64_t i = 0; i < K; i++)
        if (id[i] >= 0) t.max = mo_fmax(t.max, h[id[i]]);
    for (int64_t i = 0; i < K; i++)
        if (id[i] >= 0) t.sum += mo_exp(h[id[i]] - t.max);
    return t;
}

static mo_real share(block_total t, const mo_real *h, int32_t id)
{
    return id < 0 ? 0 : mo_exp(h[id] - t.max) / t.sum;
}

static void gate_product_fwd(mo_real *w_NJK, const mo_real *u_NJ, const mo_real *h_NE, const int32_t *ids_NJK,
                             int64_t N, int64_t E, int64_t J, int64_t K)
{
#pragma omp parallel for schedule(static)
    for (int64_t b = 0; b < N * J; b++) {
        const mo_real *h = h_NE + b / J * E;
        const int32_t *id = ids_NJK + b * K;
        block_total t = total_of(h, id, K);
        for (int64_t i = 0; i < K; i++) w_NJK[b * K + i] = id[i] < 0 ? 0 : u_NJ[b] * share(t, h, id[i]);
    }
}

/* du_j, and dh of the block's experts added to dh; either may be NULL. */
static void block_bwd(mo_real *du, mo_real *dh, bool accumulate, const mo_real *dw, mo_real u,
                      const mo_real *h, const int32_t *id, int64_t K)
{
    block_total t = total_of(h, id, K);
    mo_real dot = 0;
    for (int64_t i = 0; i < K; i++)
        if (id[i] >= 0) dot += dw[i] * share(t, h, id[i]);
    if (du) *du = (accumulate ? *du : 0) + dot;
    for (int64_t i = 0; dh && i < K; i++)
        if (id[i] >= 0) dh[id[i]] += u * share(t, h, id[i]) * (dw[i] - dot);
}

/* du_NJ or dh_NE may be NULL. accumulate: of u, of h. */
static void gate_product_bwd(mo_real *du_NJ, mo_real *dh_NE, const mo_real *dw_NJK, const mo_real *u_NJ,
                             const mo_real *h_NE, const int32_t *ids_NJK, const bool *accumulate, int64_t N,
                             int64_t E, int64_t J, int64_t K)
{
#pragma omp parallel for schedule(static)
    for (int64_t n = 0; n < N; n++) {
        mo_real *dh = dh_NE ? dh_NE + n * E : NULL;
        if (dh && !accumulate[1]) memset(dh, 0, (size_t)E * sizeof *dh);
        for (int64_t b = n * J; b < (n + 1) * J; b++)
            block_bwd(du_NJ ? du_NJ + b : NULL, dh, accumulate[0], dw_NJK + b * K, u_NJ[b], h_NE + n * E,
                      ids_NJK + b * K, K);
    }
}

static mo_status gate_product_shape(mo_node *node)
{
    const mo_tensor *u = node->in[0], *h = node->in[1], *ids = node->in[2];
    if (u->dtype != MO_REAL || h->dtype != MO_REAL || ids->dtype != MO_I32 || u->ndim != 2 || h->ndim != 2 ||
        ids->ndim != 2 || h->dim[0] != u->dim[0] || ids->dim[0] != u->dim[0] ||
        ids->dim[1] % u->dim[1] != 0 || ids->dim[1] > h->dim[1])
        return mo_error(
            MO_E_SHAPE,
            "gate_product: groups' weights %s, logits %s and ids %s do not fit; expected [N, J], [N, E] and "
            "int32 [N, J*K], J*K <= E",
            mo_shape(u).text, mo_shape(h).text, mo_shape(ids).text);
    return mo_node_output(node, "", MO_REAL, 2, ids->dim);
}

static void gate_product_forward(const mo_node *node, const mo_run *run)
{
    (void)run;
    const mo_tensor *u = node->in[0], *h = node->in[1], *ids = node->in[2];
    int64_t J = u->dim[1];
    gate_product_fwd(node->out[0]->data, u->data, h->data, ids->data, u->dim[0], h->dim[1], J,
                     ids->dim[1] / J);
}

static void gate_product_backward(const mo_node *node, const mo_run *run)
{
    (void)run;
    const mo_tensor *u = node->in[0], *h = node->in[1], *ids = node->in[2];
    int64_t J = u->dim[1];
    gate_product_bwd(u->grad, h->grad, node->out[0]->grad, u->data, h->data, ids->data, node->accumulate,
                     u->dim[0], h->dim[1], J, ids->dim[1] / J);
}

static mo_cost gate_product_cost(const mo_node *node, mo_phase phase)
{
    double rows = (double)mo_tensor_count(node->in[2]), h = (double)mo_tensor_count(node->in[1]);
    double moved = rows * (3 * sizeof(mo_real) + sizeof(int32_t));
    return phase == MO_FORWARD ? (mo_cost){15 * rows, moved}
                               : (mo_cost){30 * rows, moved + h * sizeof(mo_real)};
}

const mo_op mo__op_gate_product = {.name = "gate_product",
                                   .shape = gate_product_shape,
                                   .forward = gate_product_forward,
                                   .backward = gate_product_backward,
                                   .needs_in = MO_NEEDS(0) | MO_NEEDS(1) | MO_NEEDS(2),
                                   .cost = gate_product_cost};

mo_tensor *mo_gate_product(mo_graph *g, mo_tensor *w1_NJ, mo_tensor *h_NE, mo_tensor *ids_NK)
{
    mo_node *node = mo_graph_node(g, &mo__op_gate_product, 3, (mo_tensor *[]){w1_NJ, h_NE, ids_NK}, NULL, 0);
    return node ? node->out[0] : NULL;
}
