/* act.c -- activation functions (activation.h), element by element
 *   y = f(x)        dx = f'(x) dy
 * x_NF in, y_NF out; backward reads x. Threads: over blocks of elements. */
#include "ops/activation.h"

enum { BLOCK = 4096 };

typedef struct {
    mo_act_kind kind;
} act_attr;

MO_ACT_INLINE void block_fwd(mo_act_kind kind, mo_real *y, const mo_real *x, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) y[i] = mo__activate(kind, x[i]).f;
}

MO_ACT_INLINE void block_bwd(mo_act_kind kind, mo_real *dx, const mo_real *dy, const mo_real *x,
                             bool accumulate, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) dx[i] = (accumulate ? dx[i] : 0) + mo__activate(kind, x[i]).slope * dy[i];
}

static void act_fwd(mo_real *y, const mo_real *x, mo_act_kind kind, int64_t count)
{
#pragma omp parallel for schedule(static)
    for (int64_t at = 0; at < count; at += BLOCK)
        MO_ACT_CALL(kind, block_fwd, y + at, x + at, mo_min(BLOCK, count - at))
}

static void act_bwd(mo_real *dx, const mo_real *dy, const mo_real *x, mo_act_kind kind, bool accumulate,
                    int64_t count)
{
#pragma omp parallel for schedule(static)
    for (int64_t at = 0; at < count; at += BLOCK)
        MO_ACT_CALL(kind, block_bwd, dx + at, dy + at, x + at, accumulate, mo_min(BLOCK, count - at))
}

static mo_status act_shape(mo_node *node)
{
    const mo_tensor *x = node->in[0];
    mo_act_kind kind = ((const act_attr *)node->attr)->kind;
    if (!mo__act_known(kind)) return mo_error(MO_E_RANGE, "act: no activation has number %d", (int)kind);
    if (x->dtype != MO_REAL)
        return mo_error(MO_E_SHAPE, "act: x %s; expected real numbers", mo_shape(x).text);
    return mo_node_output(node, "", MO_REAL, x->ndim, x->dim);
}

static void act_forward(const mo_node *node, const mo_run *run)
{
    (void)run;
    const mo_tensor *x = node->in[0];
    act_fwd(node->out[0]->data, x->data, ((const act_attr *)node->attr)->kind, mo_tensor_count(x));
}

static void act_backward(const mo_node *node, const mo_run *run)
{
    (void)run;
    const mo_tensor *x = node->in[0];
    act_bwd(x->grad, node->out[0]->grad, x->data, ((const act_attr *)node->attr)->kind, node->accumulate[0],
            mo_tensor_count(x));
}

static mo_cost act_cost(const mo_node *node, mo_phase phase)
{
    double n = (double)mo_tensor_count(node->in[0]);
    return phase == MO_FORWARD ? (mo_cost){15 * n, 2 * n * sizeof(mo_real)}
                               : (mo_cost){20 * n, (3 + node->accumulate[0]) * n * sizeof(mo_real)};
}

const mo_op mo__op_act = {.name = "act",
                          .shape = act_shape,
                          .forward = act_forward,
                          .backward = act_backward,
                          .needs_in = MO_NEEDS(0),
                          .grad_over_data = MO_NEEDS(0),
                          .flags = MO_OP_CHEAP,
                          .cost = act_cost};

mo_tensor *mo_act(mo_graph *g, mo_tensor *x_NF, mo_act_kind kind)
{
    act_attr attr = {kind};
    mo_node *node = mo_graph_node(g, &mo__op_act, 1, &x_NF, &attr, sizeof attr);
    return node ? node->out[0] : NULL;
}
