/* glu.c -- gated linear units (Shazeer 2020, arXiv:2002.05202): SwiGLU with silu, GeGLU with gelu
 *   y = f(g) u        dg = dy u f'(g)        du = dy f(g)
 * gate_NF and up_NF in, y_NF out; f is one of act.c. Backward reads gate and up.
 * Threads: over blocks of elements. */
#include "ops/kernels.h"
#include "ops/activation.h"

typedef struct {
    mo_act_kind kind;
} glu_attr;

static void glu_fwd(mo_real *y_NF, const mo_real *gate_NF, const mo_real *up_NF, mo_act_kind kind,
                    int64_t count)
{
#pragma omp parallel for schedule(static)
    for (int64_t first = 0; first < count; first += MO_ACT_BLOCK) {
        mo_real f[MO_ACT_BLOCK];
        int64_t n = mo_min(MO_ACT_BLOCK, count - first);
        mo__activate(kind, gate_NF + first, n, f, NULL);
        const mo_real *u = up_NF + first;
        mo_real *y = y_NF + first;
#pragma omp simd
        for (int64_t i = 0; i < n; i++) y[i] = f[i] * u[i];
    }
}

/* dgate_NF or dup_NF may be NULL. accumulate: of gate, of up. */
static void glu_bwd(mo_real *dgate_NF, mo_real *dup_NF, const mo_real *dy_NF, const mo_real *gate_NF,
                    const mo_real *up_NF, mo_act_kind kind, const bool *accumulate, int64_t count)
{
#pragma omp parallel for schedule(static)
    for (int64_t first = 0; first < count; first += MO_ACT_BLOCK) {
        mo_real f[MO_ACT_BLOCK], slope[MO_ACT_BLOCK];
        int64_t n = mo_min(MO_ACT_BLOCK, count - first);
        mo__activate(kind, gate_NF + first, n, f, slope);
        const mo_real *dy = dy_NF + first, *u = up_NF + first;
        if (dgate_NF) {
            mo_real *d = dgate_NF + first;
#pragma omp simd
            for (int64_t i = 0; i < n; i++) d[i] = (accumulate[0] ? d[i] : 0) + dy[i] * u[i] * slope[i];
        }
        if (dup_NF) {
            mo_real *d = dup_NF + first;
#pragma omp simd
            for (int64_t i = 0; i < n; i++) d[i] = (accumulate[1] ? d[i] : 0) + dy[i] * f[i];
        }
    }
}

static mo_status glu_shape(mo_node *node)
{
    const mo_tensor *gate = node->in[0], *up = node->in[1];
    mo_act_kind kind = ((const glu_attr *)node->attr)->kind;
    if (!mo__act_known(kind)) return mo_error(MO_E_RANGE, "glu: no activation has number %d", (int)kind);
    if (kind == MO_ACT_KIND_SIGMOID)
        return mo_error(MO_E_RANGE, "glu: sigmoid makes scores for routers; a gate is silu, gelu or relu");
    if (gate->dtype != MO_REAL || up->dtype != MO_REAL || gate->ndim != 2 || up->ndim != 2 ||
        gate->dim[0] != up->dim[0] || gate->dim[1] != up->dim[1])
        return mo_error(MO_E_SHAPE, "glu: gate %s and up %s do not fit; expected [N, F] twice",
                        mo_shape(gate).text, mo_shape(up).text);
    return mo_node_output(node, "", MO_REAL, 2, gate->dim);
}

static void glu_forward(const mo_node *node, const mo_run *run)
{
    (void)run;
    const mo_tensor *y = node->out[0];
    glu_fwd(y->data, node->in[0]->data, node->in[1]->data, ((const glu_attr *)node->attr)->kind,
            mo_tensor_count(y));
}

static void glu_backward(const mo_node *node, const mo_run *run)
{
    (void)run;
    const mo_tensor *gate = node->in[0], *up = node->in[1], *y = node->out[0];
    glu_bwd(gate->grad, up->grad, y->grad, gate->data, up->data, ((const glu_attr *)node->attr)->kind,
            node->accumulate, mo_tensor_count(y));
}

static mo_cost glu_cost(const mo_node *node, mo_phase phase)
{
    double n = (double)mo_tensor_count(node->out[0]);
    return phase == MO_FORWARD ? (mo_cost){16 * n, 3 * n * sizeof(mo_real)}
                               : (mo_cost){23 * n, 5 * n * sizeof(mo_real)};
}

const mo_op mo__op_glu = {.name = "glu",
                          .shape = glu_shape,
                          .forward = glu_forward,
                          .backward = glu_backward,
                          .needs_in = MO_NEEDS(0) | MO_NEEDS(1),
                          .flags = MO_OP_CHEAP,
                          .cost = glu_cost};

mo_tensor *mo_glu(mo_graph *g, mo_tensor *gate_NF, mo_tensor *up_NF, mo_act_kind kind)
{
    glu_attr attr = {kind};
    mo_node *node = mo_graph_node(g, &mo__op_glu, 2, (mo_tensor *[]){gate_NF, up_NF}, &attr, sizeof attr);
    return node ? node->out[0] : NULL;
}
