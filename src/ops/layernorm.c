/* layernorm.c -- layer normalisation (Ba et al. 2016, arXiv:1607.06450, eq. 3-4) with a weight and no bias
 *   m_n  = mean_d x_nd      s_n = (mean_d (x_nd - m_n)^2 + eps)^-1/2
 *   u_nd = (x_nd - m_n) s_n                     y_nd = u_nd g_d
 *   dx_nd = s_n (g_d dy_nd - mean_j g_j dy_nj - u_nd mean_j g_j dy_nj u_nj)
 *   dg_d  = sum_n dy_nd u_nd
 * x_ND in, g_D parameter, y_ND out; backward reads x and recomputes m_N and s_N into scratch.
 * Threads: dx over rows, dg over blocks of columns, each summing its rows in order; no atomics. */
#include "ops/kernels.h"

typedef struct {
    double eps;
} layernorm_attr;

enum { COLUMNS = 64 };

/* Two passes: the mean is taken off before squaring, so that a large one costs no digits. */
static void moments(const mo_real *x, int64_t D, double eps, mo_real *mean, mo_real *inverse)
{
    mo_real sum = 0, square = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t d = 0; d < D; d++) sum += x[d];
    mo_real m = (mo_real)((double)sum / (double)D);
#pragma omp simd reduction(+ : square)
    for (int64_t d = 0; d < D; d++) square += (x[d] - m) * (x[d] - m);
    *mean = m;
    *inverse = (mo_real)(1.0 / sqrt((double)square / (double)D + eps));
}

static void layernorm_fwd(mo_real *y_ND, const mo_real *x_ND, const mo_real *g_D, double eps, int64_t N,
                          int64_t D)
{
#pragma omp parallel for schedule(static)
    for (int64_t n = 0; n < N; n++) {
        const mo_real *x = x_ND + n * D;
        mo_real *y = y_ND + n * D, m, s;
        moments(x, D, eps, &m, &s);
#pragma omp simd
        for (int64_t d = 0; d < D; d++) y[d] = (x[d] - m) * s * g_D[d];
    }
}

/* dx_ND may be NULL; m_N and s_N are written for layernorm_bwd_g. */
static void layernorm_bwd_x(mo_real *dx_ND, mo_real *m_N, mo_real *s_N, const mo_real *dy_ND,
                            const mo_real *x_ND, const mo_real *g_D, double eps, bool accumulate, int64_t N,
                            int64_t D)
{
#pragma omp parallel for schedule(static)
    for (int64_t n = 0; n < N; n++) {
        const mo_real *x = x_ND + n * D, *dy = dy_ND + n * D;
        mo_real m, s, sum = 0, dot = 0;
        moments(x, D, eps, &m, &s);
        m_N[n] = m;
        s_N[n] = s;
        if (!dx_ND) continue;
        mo_real *dx = dx_ND + n * D;
#pragma omp simd reduction(+ : sum, dot)
        for (int64_t d = 0; d < D; d++) {
            mo_real e = g_D[d] * dy[d];
            sum += e;
            dot += e * (x[d] - m);
        }
        mo_real a = sum / (mo_real)D, c = s * s * dot / (mo_real)D;
        mo_real keep = accumulate ? MO_C(1) : MO_C(0);
        if (!accumulate) memset(dx, 0, (size_t)D * sizeof *dx);
#pragma omp simd
        for (int64_t d = 0; d < D; d++) dx[d] = keep * dx[d] + s * (g_D[d] * dy[d] - a - (x[d] - m) * c);
    }
}

static void layernorm_bwd_g(mo_real *dg_D, const mo_real *dy_ND, const mo_real *x_ND, const mo_real *m_N,
                            const mo_real *s_N, bool accumulate, int64_t N, int64_t D)
{
#pragma omp parallel for schedule(static)
    for (int64_t first = 0; first < D; first += COLUMNS) {
        int64_t width = mo_min(COLUMNS, D - first);
        mo_real sum[COLUMNS] = {0};
        for (int64_t n = 0; n < N; n++) {
            const mo_real *x = x_ND + n * D + first, *dy = dy_ND + n * D + first;
#pragma omp simd
            for (int64_t i = 0; i < width; i++) sum[i] += dy[i] * (x[i] - m_N[n]) * s_N[n];
        }
        for (int64_t i = 0; i < width; i++) dg_D[first + i] = (accumulate ? dg_D[first + i] : 0) + sum[i];
    }
}

static mo_status layernorm_shape(mo_node *node)
{
    const mo_tensor *x = node->in[0], *g = node->in[1];
    if (x->dtype != MO_REAL || x->ndim != 2 || g->ndim != 1 || g->dim[0] != x->dim[1])
        return mo_error(MO_E_SHAPE, "layernorm: x %s and weight %s do not fit; expected [N, D] and [D]",
                        mo_shape(x).text, mo_shape(g).text);
    return mo_node_output(node, "", MO_REAL, 2, x->dim);
}

static void layernorm_forward(const mo_node *node, const mo_run *run)
{
    (void)run;
    const mo_tensor *x = node->in[0];
    layernorm_fwd(node->out[0]->data, x->data, node->in[1]->data, ((layernorm_attr *)node->attr)->eps,
                  x->dim[0], x->dim[1]);
}

static void layernorm_backward(const mo_node *node, const mo_run *run)
{
    (void)run;
    const mo_tensor *x = node->in[0], *g = node->in[1];
    const mo_real *dy = node->out[0]->grad;
    int64_t N = x->dim[0], D = x->dim[1];
    mo_real *m_N = node->scratch, *s_N = m_N + N;
    layernorm_bwd_x(x->grad, m_N, s_N, dy, x->data, g->data, ((layernorm_attr *)node->attr)->eps,
                    node->accumulate[0], N, D);
    if (g->grad) layernorm_bwd_g(g->grad, dy, x->data, m_N, s_N, node->accumulate[1], N, D);
}

static size_t layernorm_scratch(const mo_node *node, mo_phase phase)
{
    return phase == MO_BACKWARD ? 2 * (size_t)node->in[0]->dim[0] * sizeof(mo_real) : 0;
}

static mo_cost layernorm_cost(const mo_node *node, mo_phase phase)
{
    double n = (double)mo_tensor_count(node->in[0]);
    return phase == MO_FORWARD ? (mo_cost){7 * n, 2 * n * sizeof(mo_real)}
                               : (mo_cost){20 * n, 5 * n * sizeof(mo_real)};
}

const mo_op mo__op_layernorm = {.name = "layernorm",
                                .shape = layernorm_shape,
                                .forward = layernorm_forward,
                                .backward = layernorm_backward,
                                .needs_in = MO_NEEDS(0) | MO_NEEDS(1),
                                .flags = MO_OP_CHEAP,
                                .scratch = layernorm_scratch,
                                .cost = layernorm_cost};

mo_tensor *mo_layernorm(mo_graph *g, mo_tensor *x_ND, mo_tensor *w_D, double eps)
{
    layernorm_attr attr = {eps};
    mo_node *node = mo_graph_node(g, &mo__op_layernorm, 2, (mo_tensor *[]){x_ND, w_D}, &attr, sizeof attr);
    return node ? node->out[0] : NULL;
}
