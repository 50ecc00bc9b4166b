/* act.c -- activation functions, element by element
 *   silu  f = x s, s = 1 / (1 + exp(-x))                      f' = s (1 + x (1 - s))
 *   gelu  f = x Phi(x) (Hendrycks & Gimpel 2016, exact)       f' = Phi(x) + x phi(x)
 *   relu  f = max(x, 0)                                       f' = 1 for x > 0, else 0
 *   sigmoid  f = s                                            f' = s (1 - s)
 * x_NF in, y_NF out; backward reads x: dx = f'(x) dy.
 * Threads: over blocks of elements. */
#include "ops/kernels.h"
#include "ops/activation.h"

typedef struct {
    mo_act_kind kind;
} act_attr;

static void silu(const mo_real *x, int64_t n, mo_real *f, mo_real *slope)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        mo_real v = x[i], s = mo_sigmoid(v);
        f[i] = v * s;
        slope[i] = s * (1 + v * (1 - s));
    }
}

static void gelu(const mo_real *x, int64_t n, mo_real *f, mo_real *slope)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        mo_real v = x[i], cdf = mo_normal_cdf(v);
        f[i] = v * cdf;
        slope[i] = cdf + v * mo_normal_pdf(v);
    }
}

static void relu(const mo_real *x, int64_t n, mo_real *f, mo_real *slope)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        mo_real v = x[i];
        f[i] = v < 0 ? 0 : v; /* NaN stays */
        slope[i] = v > 0 ? MO_C(1) : MO_C(0);
    }
}

static void sigmoid(const mo_real *x, int64_t n, mo_real *f, mo_real *slope)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        mo_real s = mo_sigmoid(x[i]);
        f[i] = s;
        slope[i] = s * (1 - s);
    }
}

void mo__activate(mo_act_kind kind, const mo_real *x, int64_t n, mo_real *f, mo_real *slope)
{
    mo_real unused[MO_ACT_BLOCK];
    MO_ASSERT(n <= MO_ACT_BLOCK);
    if (!slope) slope = unused;
    switch (kind) {
    case MO_ACT_KIND_SILU:
        silu(x, n, f, slope);
        break;
    case MO_ACT_KIND_GELU:
        gelu(x, n, f, slope);
        break;
    case MO_ACT_KIND_RELU:
        relu(x, n, f, slope);
        break;
    case MO_ACT_KIND_SIGMOID:
        sigmoid(x, n, f, slope);
        break;
    }
}

bool mo__act_known(mo_act_kind kind)
{
    return kind == MO_ACT_KIND_SILU || kind == MO_ACT_KIND_GELU || kind == MO_ACT_KIND_RELU ||
           kind == MO_ACT_KIND_SIGMOID;
}

static void act_fwd(mo_real *y, const mo_real *x, mo_act_kind kind, int64_t count)
{
#pragma omp parallel for schedule(static)
    for (int64_t first = 0; first < count; first += MO_ACT_BLOCK)
        mo__activate(kind, x + first, mo_min(MO_ACT_BLOCK, count - first), y + first, NULL);
}

static void act_bwd(mo_real *dx, const mo_real *dy, const mo_real *x, mo_act_kind kind, bool accumulate,
                    int64_t count)
{
#pragma omp parallel for schedule(static)
    for (int64_t first = 0; first < count; first += MO_ACT_BLOCK) {
        mo_real f[MO_ACT_BLOCK], slope[MO_ACT_BLOCK];
        int64_t n = mo_min(MO_ACT_BLOCK, count - first);
        mo__activate(kind, x + first, n, f, slope);
        mo_real *d = dx + first;
        const mo_real *e = dy + first;
#pragma omp simd
        for (int64_t i = 0; i < n; i++) d[i] = (accumulate ? d[i] : 0) + slope[i] * e[i];
    }
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
                          .flags = MO_OP_CHEAP,
                          .cost = act_cost};

mo_tensor *mo_act(mo_graph *g, mo_tensor *x_NF, mo_act_kind kind)
{
    act_attr attr = {kind};
    mo_node *node = mo_graph_node(g, &mo__op_act, 1, &x_NF, &attr, sizeof attr);
    return node ? node->out[0] : NULL;
}
