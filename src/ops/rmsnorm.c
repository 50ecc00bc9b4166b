/* rmsnorm.c -- RMSNorm (Zhang & Sennrich 2019, arXiv:1910.07467)
 *   r_n   = (mean_d x_nd^2 + eps)^-1/2          y_nd = x_nd r_n g_d
 *   dx_nd = r_n (g_d dy_nd - x_nd r_n^2/D sum_j g_j dy_nj x_nj)
 *   dg_d  = sum_n dy_nd x_nd r_n
 * x_ND in, g_D parameter, y_ND out; backward reads x and recomputes r_N, a cheap row sum, into scratch.
 * Threads: dx over rows, dg over blocks of columns, each summing its rows in order; no atomics. */
#include "ops/kernels.h"

typedef struct {
    double eps;
} rmsnorm_attr;

enum { COLUMNS = 64 };

static mo_real inverse_rms(const mo_real *x, int64_t D, double eps)
{
    mo_real sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t d = 0; d < D; d++) sum += x[d] * x[d];
    return (mo_real)(1.0 / sqrt((double)sum / (double)D + eps));
}

static void rmsnorm_fwd(mo_real *y_ND, const mo_real *x_ND, const mo_real *g_D, double eps, int64_t N,
                        int64_t D)
{
#pragma omp parallel for schedule(static)
    for (int64_t n = 0; n < N; n++) {
        const mo_real *x = x_ND + n * D;
        mo_real *y = y_ND + n * D;
        mo_real r = inverse_rms(x, D, eps);
#pragma omp simd
        for (int64_t d = 0; d < D; d++) y[d] = x[d] * r * g_D[d];
    }
}

/* dx_ND may be NULL; r_N is written for rmsnorm_bwd_g. */
static void rmsnorm_bwd_x(mo_real *dx_ND, mo_real *r_N, const mo_real *dy_ND, const mo_real *x_ND,
                          const mo_real *g_D, double eps, bool accumulate, int64_t N, int64_t D)
{
#pragma omp parallel for schedule(static)
    for (int64_t n = 0; n < N; n++) {
        const mo_real *x = x_ND + n * D, *dy = dy_ND + n * D;
        mo_real r = inverse_rms(x, D, eps), dot = 0;
        r_N[n] = r;
        if (!dx_ND) continue;
        mo_real *dx = dx_ND + n * D;
#pragma omp simd reduction(+ : dot)
        for (int64_t d = 0; d < D; d++) dot += g_D[d] * dy[d] * x[d];
        mo_real c = r * r * dot / (mo_real)D;
        mo_real keep = accumulate ? MO_C(1) : MO_C(0);
        if (!accumulate) memset(dx, 0, (size_t)D * sizeof *dx);
#pragma omp simd
        for (int64_t d = 0; d < D; d++) dx[d] = keep * dx[d] + r * (g_D[d] * dy[d] - x[d] * c);
    }
}

static void rmsnorm_bwd_g(mo_real *dg_D, const mo_real *dy_ND, const mo_real *x_ND, const mo_real *r_N,
                          bool accumulate, int64_t N, int64_t D)
{
#pragma omp parallel for schedule(static)
    for (int64_t first = 0; first < D; first += COLUMNS) {
        int64_t width = mo_min(COLUMNS, D - first);
        mo_real sum[COLUMNS] = {0};
        for (int64_t n = 0; n < N; n++) {
            const mo_real *x = x_ND + n * D + first, *dy = dy_ND + n * D + first;
#pragma omp simd
            for (int64_t i = 0; i < width; i++) sum[i] += dy[i] * x[i] * r_N[n];
        }
        for (int64_t i = 0; i < width; i++) dg_D[first + i] = (accumulate ? dg_D[first + i] : 0) + sum[i];
    }
}

static mo_status rmsnorm_shape(mo_node *node)
{
    const mo_tensor *x = node->in[0], *g = node->in[1];
    if (x->ndim != 2 || g->ndim != 1 || g->dim[0] != x->dim[1])
        return mo_error(MO_E_SHAPE, "rmsnorm: x %s and weight %s do not fit; expected [N, D] and [D]",
                        mo_shape(x).text, mo_shape(g).text);
    return mo_node_output(node, "", MO_REAL, 2, x->dim);
}

static void rmsnorm_forward(const mo_node *node, const mo_run *run)
{
    (void)run;
    const mo_tensor *x = node->in[0];
    rmsnorm_fwd(node->out[0]->data, x->data, node->in[1]->data, ((rmsnorm_attr *)node->attr)->eps, x->dim[0],
                x->dim[1]);
}

static void rmsnorm_backward(const mo_node *node, const mo_run *run)
{
    (void)run;
    const mo_tensor *x = node->in[0], *g = node->in[1];
    const mo_real *dy = node->out[0]->grad;
    rmsnorm_bwd_x(x->grad, node->scratch, dy, x->data, g->data, ((rmsnorm_attr *)node->attr)->eps,
                  node->accumulate[0], x->dim[0], x->dim[1]);
    if (g->grad)
        rmsnorm_bwd_g(g->grad, dy, x->data, node->scratch, node->accumulate[1], x->dim[0], x->dim[1]);
}

static size_t rmsnorm_scratch(const mo_node *node, mo_phase phase)
{
    return phase == MO_BACKWARD ? (size_t)node->in[0]->dim[0] * sizeof(mo_real) : 0;
}

static mo_cost rmsnorm_cost(const mo_node *node, mo_phase phase)
{
    double n = (double)mo_tensor_count(node->in[0]);
    return phase == MO_FORWARD ? (mo_cost){4 * n, 2 * n * sizeof(mo_real)}
                               : (mo_cost){11 * n, 5 * n * sizeof(mo_real)};
}

const mo_op mo__op_rmsnorm = {.name = "rmsnorm",
                              .shape = rmsnorm_shape,
                              .forward = rmsnorm_forward,
                              .backward = rmsnorm_backward,
                              .needs_in = MO_NEEDS(0) | MO_NEEDS(1),
                              .flags = MO_OP_CHEAP,
                              .scratch = rmsnorm_scratch,
                              .cost = rmsnorm_cost};

mo_tensor *mo_rmsnorm(mo_graph *g, mo_tensor *x_ND, mo_tensor *w_D, double eps)
{
    rmsnorm_attr attr = {eps};
    mo_node *node = mo_graph_node(g, &mo__op_rmsnorm, 2, (mo_tensor *[]){x_ND, w_D}, &attr, sizeof attr);
    return node ? node->out[0] : NULL;
}
