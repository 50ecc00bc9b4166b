/* linear.c -- a matrix product without bias
 *   y = x w^T        dx = dy w        dw = dy^T x
 * x_NI in, w_OI parameter (frozen, it may be stored), y_NO out; backward reads w for dx, x for dw.
 * Threads: mo_gemm's tiles of the output. */
#include "ops/kernels.h"
#include "ops/weight.h"

static mo_status linear_shape(mo_node *node)
{
    const mo_tensor *x = node->in[0], *w = node->in[1];
    if (x->dtype != MO_REAL || w->dtype != MO_REAL || x->ndim != 2 || w->ndim != 2 || x->dim[1] != w->dim[1])
        return mo_error(MO_E_SHAPE, "linear: x %s and weight %s do not fit; expected [N, I] and [O, I]",
                        mo_shape(x).text, mo_shape(w).text);
    return mo_node_output(node, "", MO_REAL, 2, (int64_t[]){x->dim[0], w->dim[0]});
}

static void linear_forward(const mo_node *node, const mo_run *run)
{
    (void)run;
    const mo_tensor *x = node->in[0], *w = node->in[1];
    mo__weight_nt(w, x->dim[0], x->data, node->out[0]->data);
}

static void linear_backward(const mo_node *node, const mo_run *run)
{
    (void)run;
    const mo_tensor *x = node->in[0], *w = node->in[1];
    const mo_real *dy = node->out[0]->grad;
    int64_t N = x->dim[0], I = x->dim[1], O = w->dim[0];
    if (w->grad) /* first: dx may lie where x lies */
        mo_gemm(true, false, O, I, N, 1, dy, O, x->data, I, node->accumulate[1], w->grad, I);
    if (x->grad) mo__weight_nn(w, N, dy, node->accumulate[0], x->grad);
}

static mo_cost linear_cost(const mo_node *node, mo_phase phase)
{
    double x = (double)mo_tensor_bytes(node->in[0]), w = (double)mo_tensor_bytes(node->in[1]);
    double y = (double)mo_tensor_bytes(node->out[0]);
    double product = 2 * (double)mo_tensor_count(node->in[0]) * (double)node->in[1]->dim[0];
    bool dx = node->in[0]->needs_grad, dw = node->in[1]->needs_grad;
    if (phase == MO_FORWARD) return (mo_cost){product, x + w + y};
    return (mo_cost){(dx + dw) * product, y + dx * (x + w) + dw * (x + 2 * w)};
}

static const uint32_t linear_needs[] = {MO_NEEDS(1), MO_NEEDS(0)};

const mo_op mo__op_linear = {.name = "linear",
                             .shape = linear_shape,
                             .forward = linear_forward,
                             .backward = linear_backward,
                             .needs_in = MO_NEEDS(0) | MO_NEEDS(1),
                             .needs_for = linear_needs,
                             .grad_over_data = MO_NEEDS(0),
                             .takes_stored = MO_NEEDS(1),
                             .cost = linear_cost};

mo_tensor *mo_linear(mo_graph *g, mo_tensor *x_NI, mo_tensor *w_OI)
{
    mo_node *node = mo_graph_node(g, &mo__op_linear, 2, (mo_tensor *[]){x_NI, w_OI}, NULL, 0);
    return node ? node->out[0] : NULL;
}
