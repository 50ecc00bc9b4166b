/* add.c -- the sum of two tensors of one shape
 *   y = a + b        da = dy        db = dy
 * Backward reads nothing, and has nothing to do for an input whose gradient shares y's memory.
 * Threads: over elements. */
#include "ops/kernels.h"

static void add_fwd(mo_real *y, const mo_real *a, const mo_real *b, int64_t count)
{
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < count; i++) y[i] = a[i] + b[i];
}

static void add_bwd(mo_real *da, const mo_real *dy, bool accumulate, int64_t count)
{
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < count; i++) da[i] = (accumulate ? da[i] : 0) + dy[i];
}

static mo_status add_shape(mo_node *node)
{
    const mo_tensor *a = node->in[0], *b = node->in[1];
    bool fits = a->dtype == MO_REAL && b->dtype == MO_REAL && a->ndim == b->ndim;
    for (int i = 0; fits && i < a->ndim; i++) fits = a->dim[i] == b->dim[i];
    if (!fits)
        return mo_error(MO_E_SHAPE, "add: %s and %s do not fit; expected one shape", mo_shape(a).text,
                        mo_shape(b).text);
    return mo_node_output(node, "", MO_REAL, a->ndim, a->dim);
}

static void add_forward(const mo_node *node, const mo_run *run)
{
    (void)run;
    const mo_tensor *y = node->out[0];
    add_fwd(y->data, node->in[0]->data, node->in[1]->data, mo_tensor_count(y));
}

static void add_backward(const mo_node *node, const mo_run *run)
{
    (void)run;
    const mo_tensor *y = node->out[0];
    for (int i = 0; i < 2; i++) {
        mo_real *d = node->in[i]->grad;
        if (d && d != y->grad) add_bwd(d, y->grad, node->accumulate[i], mo_tensor_count(y));
    }
}

static mo_cost add_cost(const mo_node *node, mo_phase phase)
{
    double n = (double)mo_tensor_count(node->out[0]), copies = 0;
    for (int i = 0; i < 2; i++)
        copies += node->in[i]->grad && node->in[i]->grad != node->out[0]->grad ? 2 + node->accumulate[i] : 0;
    return phase == MO_FORWARD ? (mo_cost){n, 3 * n * sizeof(mo_real)}
                               : (mo_cost){0, copies * n * sizeof(mo_real)};
}

const mo_op mo__op_add = {.name = "add",
                          .shape = add_shape,
                          .forward = add_forward,
                          .backward = add_backward,
                          .flags = MO_OP_PASS_GRAD,
                          .cost = add_cost};

mo_tensor *mo_add(mo_graph *g, mo_tensor *a_ND, mo_tensor *b_ND)
{
    mo_node *node = mo_graph_node(g, &mo__op_add, 2, (mo_tensor *[]){a_ND, b_ND}, NULL, 0);
    return node ? node->out[0] : NULL;
}
