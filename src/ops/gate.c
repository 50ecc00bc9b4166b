/* gate.c -- the weights of a token's experts; c_k is the score of choice k
 *   select      w_k = r c_k                         dc_k = r dw_k
 *   normalise   w_k = r c_k / S                     dc_k = r (dw_k - sum_j dw_j c_j / S) / S
 *   softmax     w_k = r q_k, q_k = exp(c_k) / sum   dc_k = r q_k (dw_k - sum_j dw_j q_j)
 * with S = sum_j c_j + 1e-20. Normalise is Mixtral's (norm_topk_prob) and, with the factor r, DeepSeek-V3's
 * (arXiv:2412.19437, eq. 13, routed_scaling_factor); softmax Shazeer's (2017, arXiv:1701.06538, eq. 3 and 5).
 * scores_NE and ids_NK in, w_NK out; an id of -1 has weight 0 and no part in the sums; a score not chosen has
 * gradient 0. Backward reads scores and ids and makes w again. With K = 1 the last two give w = r and no
 * gradient.
 * Threads: over rows. */
#include "ops/kernels.h"

typedef struct {
    mo_gate_mode mode;
    double scale;
} gate_attr;

/* w_k = r m_k / total with m the score or its exponential; `shift` keeps the exponential in range. */
typedef struct {
    mo_gate_mode mode;
    mo_real shift, total;
} gate_row;

static mo_real unscaled(const gate_row *row, mo_real score)
{
    return row->mode == MO_GATE_SOFTMAX ? mo_exp(score - row->shift) : score;
}

static gate_row gate_row_of(const mo_real *score, const int32_t *id, mo_gate_mode mode, int64_t K)
{
    gate_row row = {mode, -(mo_real)INFINITY, 0};
    for (int64_t k = 0; k < K; k++)
        if (id[k] >= 0) row.shift = mo_fmax(row.shift, score[id[k]]);
    for (int64_t k = 0; k < K; k++)
        if (id[k] >= 0) row.total += unscaled(&row, score[id[k]]);
    if (mode == MO_GATE_SELECT) row.total = 1;
    if (mode == MO_GATE_NORMALISE) row.total += MO_SUM_FLOOR;
    return row;
}

static void gate_fwd(mo_real *w_NK, const mo_real *scores_NE, const int32_t *ids_NK, gate_attr attr,
                     int64_t N, int64_t E, int64_t K)
{
    mo_real scale = (mo_real)attr.scale;
#pragma omp parallel for schedule(static)
    for (int64_t n = 0; n < N; n++) {
        const mo_real *score = scores_NE + n * E;
        const int32_t *id = ids_NK + n * K;
        mo_real *w = w_NK + n * K;
        gate_row row = gate_row_of(score, id, attr.mode, K);
        for (int64_t k = 0; k < K; k++)
            w[k] = id[k] < 0 ? 0 : scale * (unscaled(&row, score[id[k]]) / row.total);
    }
}

static void gate_bwd(mo_real *dscores_NE, const mo_real *dw_NK, const mo_real *scores_NE,
                     const int32_t *ids_NK, gate_attr attr, bool accumulate, int64_t N, int64_t E, int64_t K)
{
    mo_gate_mode mode = attr.mode;
    mo_real scale = (mo_real)attr.scale;
#pragma omp parallel for schedule(static)
    for (int64_t n = 0; n < N; n++) {
        const mo_real *score = scores_NE + n * E, *dw = dw_NK + n * K;
        const int32_t *id = ids_NK + n * K;
        mo_real *dscore = dscores_NE + n * E, dot = 0;
        if (!accumulate) memset(dscore, 0, (size_t)E * sizeof *dscore);
        gate_row row = gate_row_of(score, id, mode, K);
        for (int64_t k = 0; k < K; k++)
            if (id[k] >= 0 && mode != MO_GATE_SELECT)
                dot += dw[k] * (unscaled(&row, score[id[k]]) / row.total);
        for (int64_t k = 0; k < K; k++) {
            if (id[k] < 0) continue;
            mo_real slope =
                mode == MO_GATE_SOFTMAX ? unscaled(&row, score[id[k]]) / row.total : 1 / row.total;
            dscore[id[k]] += scale * slope * (dw[k] - dot);
        }
    }
}

static mo_status gate_shape(mo_node *node)
{
    const mo_tensor *scores = node->in[0], *ids = node->in[1];
    double scale = ((const gate_attr *)node->attr)->scale;
    mo_gate_mode mode = ((const gate_attr *)node->attr)->mode;
    if (mode < MO_GATE_SELECT || mode > MO_GATE_SOFTMAX)
        return mo_error(MO_E_RANGE, "gate: %d is no way to make weights", (int)mode);
    if (!(scale > 0 && isfinite(scale)))
        return mo_error(MO_E_RANGE, "gate: routed_scaling_factor is %g, must be above 0", scale);
    if (scores->dtype != MO_REAL || scores->ndim != 2 || ids->ndim != 2 || ids->dim[0] != scores->dim[0] ||
        ids->dim[1] > scores->dim[1] || ids->dtype != MO_I32)
        return mo_error(MO_E_SHAPE,
                        "gate: scores %s and ids %s do not fit; expected [N, E] and int32 [N, K], K <= E",
                        mo_shape(scores).text, mo_shape(ids).text);
    return mo_node_output(node, "", MO_REAL, 2, ids->dim);
}

static void gate_forward(const mo_node *node, const mo_run *run)
{
    (void)run;
    const mo_tensor *scores = node->in[0], *ids = node->in[1];
    gate_fwd(node->out[0]->data, scores->data, ids->data, *(const gate_attr *)node->attr, scores->dim[0],
             scores->dim[1], ids->dim[1]);
}

static void gate_backward(const mo_node *node, const mo_run *run)
{
    (void)run;
    const mo_tensor *scores = node->in[0], *ids = node->in[1];
    gate_bwd(scores->grad, node->out[0]->grad, scores->data, ids->data, *(const gate_attr *)node->attr,
             node->accumulate[0], scores->dim[0], scores->dim[1], ids->dim[1]);
}

static mo_cost gate_cost(const mo_node *node, mo_phase phase)
{
    double rows = (double)mo_tensor_count(node->in[1]), scores = (double)mo_tensor_count(node->in[0]);
    return phase == MO_FORWARD ? (mo_cost){10 * rows, rows * (2 * sizeof(mo_real) + sizeof(int32_t))}
                               : (mo_cost){15 * rows, rows * (2 * sizeof(mo_real) + sizeof(int32_t)) +
                                                          scores * sizeof(mo_real)};
}

const mo_op mo__op_gate = {.name = "gate",
                           .shape = gate_shape,
                           .forward = gate_forward,
                           .backward = gate_backward,
                           .needs_in = MO_NEEDS(0) | MO_NEEDS(1),
                           .cost = gate_cost};

mo_tensor *mo_gate_scaled(mo_graph *g, mo_tensor *scores_NE, mo_tensor *ids_NK, mo_gate_mode mode,
                          double scale)
{
    gate_attr attr = {mode, scale};
    mo_node *node = mo_graph_node(g, &mo__op_gate, 2, (mo_tensor *[]){scores_NE, ids_NK}, &attr, sizeof attr);
    return node ? node->out[0] : NULL;
}

mo_tensor *mo_gate(mo_graph *g, mo_tensor *scores_NE, mo_tensor *ids_NK, mo_gate_mode mode)
{
    return mo_gate_scaled(g, scores_NE, ids_NK, mode, 1);
}
