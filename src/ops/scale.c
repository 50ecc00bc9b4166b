/* scale.c -- times a constant
 *   y = s x        dx = s dy
 * x of any shape in, y out; backward reads nothing.
 * Threads: over elements. */
#include <math.h>

#include "ops/kernels.h"

typedef struct {
    double s;
} scale_attr;

static void scale_rows(mo_real *y, const mo_real *x, mo_real s, bool accumulate, int64_t count)
{
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < count; i++) y[i] = (accumulate ? y[i] : 0) + s * x[i];
}

static mo_status scale_shape(mo_node *node)
{
    const mo_tensor *x = node->in[0];
    double s = ((const scale_attr *)node->attr)->s;
    if (x->dtype != MO_REAL)
        return mo_error(MO_E_SHAPE, "scale: x %s; expected real numbers", mo_shape(x).text);
    if (!isfinite(s)) return mo_error(MO_E_RANGE, "scale: the factor is %g, must be finite", s);
    return mo_node_output(node, "", MO_REAL, x->ndim, x->dim);
}

static void scale_forward(const mo_node *node, const mo_run *run)
{
    (void)run;
    const mo_tensor *x = node->in[0];
    scale_rows(node->out[0]->data, x->data, (mo_real)((const scale_attr *)node->attr)->s, false,
               mo_tensor_count(x));
}

static void scale_backward(const mo_node *node, const mo_run *run)
{
    (void)run;
    const mo_tensor *x = node->in[0];
    scale_rows(x->grad, node->out[0]->grad, (mo_real)((const scale_attr *)node->attr)->s, node->accumulate[0],
               mo_tensor_count(x));
}

static mo_cost scale_cost(const mo_node *node, mo_phase phase)
{
    double n = (double)mo_tensor_count(node->in[0]), add = phase == MO_BACKWARD && node->accumulate[0];
    return (mo_cost){(1 + add) * n, (2 + add) * n * sizeof(mo_real)};
}

const mo_op mo__op_scale = {.name = "scale",
                            .shape = scale_shape,
                            .forward = scale_forward,
                            .backward = scale_backward,
                            .flags = MO_OP_CHEAP,
                            .cost = scale_cost};

mo_tensor *mo_scale(mo_graph *g, mo_tensor *x, double s)
{
    scale_attr attr = {s};
    if (s == 1) return x;
    mo_node *node = mo_graph_node(g, &mo__op_scale, 1, &x, &attr, sizeof attr);
    return node ? node->out[0] : NULL;
}
