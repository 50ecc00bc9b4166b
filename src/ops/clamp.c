/* clamp.c -- values held within [-c, c], as OLMoE and DBRX hold queries, keys and values (clip_qkv)
 *   y = min(max(x, -c), c)        dx = dy where |x| <= c, else 0
 * Any shape; backward reads x.
 * Threads: over elements. */
#include "ops/kernels.h"

typedef struct {
    double limit;
} clamp_attr;

static void clamp_fwd(mo_real *y, const mo_real *x, mo_real c, int64_t count)
{
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < count; i++) {
        mo_real v = x[i] < -c ? -c : x[i]; /* NaN stays */
        y[i] = v > c ? c : v;
    }
}

static void clamp_bwd(mo_real *dx, const mo_real *dy, const mo_real *x, mo_real c, bool accumulate,
                      int64_t count)
{
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < count; i++) dx[i] = (accumulate ? dx[i] : 0) + (mo_abs(x[i]) <= c ? dy[i] : 0);
}

static mo_status clamp_shape(mo_node *node)
{
    const mo_tensor *x = node->in[0];
    double limit = ((const clamp_attr *)node->attr)->limit;
    if (!(limit > 0)) return mo_error(MO_E_RANGE, "clamp: the limit is %g; expected more than 0", limit);
    if (x->dtype != MO_REAL)
        return mo_error(MO_E_SHAPE, "clamp: x %s; expected real numbers", mo_shape(x).text);
    return mo_node_output(node, "", MO_REAL, x->ndim, x->dim);
}

static void clamp_forward(const mo_node *node, const mo_run *run)
{
    (void)run;
    const mo_tensor *x = node->in[0];
    clamp_fwd(node->out[0]->data, x->data, (mo_real)((const clamp_attr *)node->attr)->limit,
              mo_tensor_count(x));
}

static void clamp_backward(const mo_node *node, const mo_run *run)
{
    (void)run;
    const mo_tensor *x = node->in[0];
    clamp_bwd(x->grad, node->out[0]->grad, x->data, (mo_real)((const clamp_attr *)node->attr)->limit,
              node->accumulate[0], mo_tensor_count(x));
}

static mo_cost clamp_cost(const mo_node *node, mo_phase phase)
{
    double n = (double)mo_tensor_count(node->in[0]);
    return phase == MO_FORWARD ? (mo_cost){2 * n, 2 * n * sizeof(mo_real)}
                               : (mo_cost){n, (3 + node->accumulate[0]) * n * sizeof(mo_real)};
}

const mo_op mo__op_clamp = {.name = "clamp",
                            .shape = clamp_shape,
                            .forward = clamp_forward,
                            .backward = clamp_backward,
                            .needs_in = MO_NEEDS(0),
                            .flags = MO_OP_CHEAP,
                            .cost = clamp_cost};

mo_tensor *mo_clamp(mo_graph *g, mo_tensor *x_ND, double limit)
{
    clamp_attr attr = {limit};
    mo_node *node = mo_graph_node(g, &mo__op_clamp, 1, &x_ND, &attr, sizeof attr);
    return node ? node->out[0] : NULL;
}
