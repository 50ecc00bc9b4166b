/* experts.c -- each expert's own linear map over its own rows; e is the expert that owns row r
 *   y_ro  = sum_i x_ri W_eoi        dx_ri = sum_o dy_ro W_eoi        dW_eoi = sum_(r of e) dy_ro x_ri
 * x_RI, W_EOI and offsets_E1 (see dispatch.c) in, y_RO out; rows past offsets_E are 0, as is their dx. An
 * expert without rows has dW = 0. One grouped product each: expert sizes are data, not shapes. Backward reads
 * W for dx, x for dW. W, frozen, may be stored.
 * Threads: the tiles of mo_gemm_grouped. */
#include "ops/kernels.h"

typedef struct {
    int64_t R; /* rows of the map */
} experts_attr;

static void zero_rows(mo_real *x_RI, int64_t first, int64_t R, int64_t I)
{
    memset(x_RI + first * I, 0, (size_t)(R - first) * (size_t)I * sizeof *x_RI);
}

/* NT or NN. */
static void grouped(const mo_node *node, mo_group_form form, const mo_real *X, mo_real *Y, mo_real beta)
{
    const mo_tensor *w = node->in[1];
    const int32_t *offsets = node->in[2]->data;
    int64_t E = w->dim[0], O = w->dim[1], I = w->dim[2];
    if (w->stored)
        mo_gemm_stored(form, E, offsets, O, I, X, Y, w->stored, beta);
    else
        mo_gemm_grouped(form, E, offsets, O, I, X, Y, w->data, beta);
}

static mo_status experts_shape(mo_node *node)
{
    const mo_tensor *x = node->in[0], *w = node->in[1], *offsets = node->in[2];
    int64_t R = ((const experts_attr *)node->attr)->R;
    if (x->dtype != MO_REAL || w->dtype != MO_REAL || x->ndim != 2 || x->dim[0] != R || w->ndim != 3 ||
        w->dim[2] != x->dim[1] || offsets->dim[0] != w->dim[0] + 1)
        return mo_error(
            MO_E_SHAPE,
            "experts: x %s, weight %s and offsets %s do not fit; expected [%lld, I], [E, O, I] and [E+1]",
            mo_shape(x).text, mo_shape(w).text, mo_shape(offsets).text, (long long)R);
    return mo_node_output(node, "", MO_REAL, 2, (int64_t[]){x->dim[0], w->dim[1]});
}

static void experts_forward(const mo_node *node, const mo_run *run)
{
    (void)run;
    const mo_tensor *x = node->in[0], *w = node->in[1], *y = node->out[0];
    const int32_t *offsets = node->in[2]->data;
    grouped(node, MO_GROUP_NT, x->data, y->data, 0);
    zero_rows(y->data, offsets[w->dim[0]], y->dim[0], y->dim[1]);
}

static void experts_backward(const mo_node *node, const mo_run *run)
{
    (void)run;
    const mo_tensor *x = node->in[0], *w = node->in[1];
    const int32_t *offsets = node->in[2]->data;
    const mo_real *dy = node->out[0]->grad;
    int64_t E = w->dim[0], O = w->dim[1], I = w->dim[2];
    if (w->grad) /* first: dx may lie where x lies */
        mo_gemm_grouped(MO_GROUP_TN, E, offsets, O, I, dy, x->data, w->grad, node->accumulate[1] ? 1 : 0);
    if (!x->grad) return;
    grouped(node, MO_GROUP_NN, dy, x->grad, node->accumulate[0] ? 1 : 0);
    if (!node->accumulate[0]) zero_rows(x->grad, offsets[E], x->dim[0], I);
}

/* Parts whose experts have rows; before that is known, all if there are more rows than experts. */
static bool experts_reads(const mo_node *node, int64_t part, bool known)
{
    int64_t E = node->in[1]->dim[0], each = E / node->in[1]->stored->parts;
    const int32_t *offsets = node->in[2]->data;
    if (!known) return node->in[0]->dim[0] > E;
    return offsets[(part + 1) * each] > offsets[part * each];
}

/* As if all R rows were used: padding is rare. */
static mo_cost experts_cost(const mo_node *node, mo_phase phase)
{
    const mo_tensor *x = node->in[0], *w = node->in[1], *y = node->out[0];
    double product = 2 * (double)mo_tensor_count(x) * (double)w->dim[1];
    double bytes = (double)(mo_tensor_bytes(x) + mo_tensor_bytes(w) + mo_tensor_bytes(y));
    if (phase == MO_FORWARD) return (mo_cost){product, bytes};
    int gradients = (x->grad || x->needs_grad) + (w->grad || w->needs_grad);
    return (mo_cost){gradients * product, gradients * bytes};
}

static const uint32_t experts_needs[] = {MO_NEEDS(1) | MO_NEEDS(2), MO_NEEDS(0) | MO_NEEDS(2), 0};

const mo_op mo__op_experts = {.name = "experts",
                              .shape = experts_shape,
                              .forward = experts_forward,
                              .backward = experts_backward,
                              .needs_in = MO_NEEDS(0) | MO_NEEDS(1) | MO_NEEDS(2),
                              .needs_for = experts_needs,
                              .grad_over_data = MO_NEEDS(0),
                              .takes_stored = MO_NEEDS(1),
                              .reads = experts_reads,
                              .cost = experts_cost};

mo_tensor *mo_experts(mo_graph *g, mo_tensor *x_RI, mo_tensor *w_EOI, const mo_dispatch_map *map)
{
    experts_attr attr = {map->token_R ? map->token_R->dim[0] : 0};
    mo_tensor *in[] = {x_RI, w_EOI, map->offsets_E1};
    mo_node *node = mo_graph_node(g, &mo__op_experts, 3, in, &attr, sizeof attr);
    return node ? node->out[0] : NULL;
}
