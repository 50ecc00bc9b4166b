/* rmsnorm.c -- RMSNorm (Zhang & Sennrich 2019, arXiv:1910.07467)
 *   r_n   = (mean_d x_nd^2 + eps)^-1/2          y_nd = x_nd r_n g_d
 *   dx_nd = r_n (g_d dy_nd - x_nd r_n^2/D sum_j g_j dy_nj x_nj)
 *   dg_d  = sum_n dy_nd x_nd r_n
 * x_ND in, g_D parameter, y_ND out. With g_W, W a divisor of D, each of the H = D/W blocks of a row is a row
 * of its own under the same weight (query-key norm per head, Qwen3). Backward reads x and recomputes r_NH, a
 * cheap row sum, into scratch. Threads: dx over rows; dg over blocks of columns of all heads, each summing
 * its rows in order, then over the weight's columns, each summing its heads in order; no atomics. */
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

/* N rows of width D: a block with a weight of its own width is a row. */
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

/* part_HW: each head's own sum over the tokens. */
static void rmsnorm_bwd_g(mo_real *dg_W, mo_real *part_HW, const mo_real *dy_ND, const mo_real *x_ND,
                          const mo_real *r_NH, bool accumulate, int64_t N, int64_t H, int64_t W)
{
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t h = 0; h < H; h++) {
        for (int64_t first = 0; first < W; first += COLUMNS) {
            int64_t width = mo_min(COLUMNS, W - first);
            mo_real sum[COLUMNS] = {0};
            for (int64_t n = 0; n < N; n++) {
                const mo_real *x = x_ND + (n * H + h) * W + first, *dy = dy_ND + (n * H + h) * W + first;
                mo_real r = r_NH[n * H + h];
#pragma omp simd
                for (int64_t i = 0; i < width; i++) sum[i] += dy[i] * x[i] * r;
            }
            memcpy(part_HW + h * W + first, sum, (size_t)width * sizeof *sum);
        }
    }
    for (int64_t w = 0; w < W; w++) {
        mo_real sum = 0;
        for (int64_t h = 0; h < H; h++) sum += part_HW[h * W + w];
        dg_W[w] = (accumulate ? dg_W[w] : 0) + sum;
    }
}

static mo_status rmsnorm_shape(mo_node *node)
{
    const mo_tensor *x = node->in[0], *g = node->in[1];
    if (x->ndim != 2 || g->ndim != 1 || x->dim[1] % g->dim[0] != 0)
        return mo_error(MO_E_SHAPE,
                        "rmsnorm: x %s and weight %s do not fit; expected [N, D] and [D], or a divisor of D",
                        mo_shape(x).text, mo_shape(g).text);
    return mo_node_output(node, "", MO_REAL, 2, x->dim);
}

static void rmsnorm_forward(const mo_node *node, const mo_run *run)
{
    (void)run;
    const mo_tensor *x = node->in[0], *g = node->in[1];
    int64_t W = g->dim[0], rows = mo_tensor_count(x) / W;
    rmsnorm_fwd(node->out[0]->data, x->data, g->data, ((rmsnorm_attr *)node->attr)->eps, rows, W);
}

static void rmsnorm_backward(const mo_node *node, const mo_run *run)
{
    (void)run;
    const mo_tensor *x = node->in[0], *g = node->in[1];
    const mo_real *dy = node->out[0]->grad;
    int64_t W = g->dim[0], rows = mo_tensor_count(x) / W;
    mo_real *r_NH = node->scratch;
    rmsnorm_bwd_x(x->grad, r_NH, dy, x->data, g->data, ((rmsnorm_attr *)node->attr)->eps, node->accumulate[0],
                  rows, W);
    if (g->grad)
        rmsnorm_bwd_g(g->grad, r_NH + rows, dy, x->data, r_NH, node->accumulate[1], x->dim[0], x->dim[1] / W,
                      W);
}

static size_t rmsnorm_scratch(const mo_node *node, mo_phase phase)
{
    const mo_tensor *x = node->in[0];
    int64_t rows = mo_tensor_count(x) / node->in[1]->dim[0];
    return phase == MO_BACKWARD ? (size_t)(rows + x->dim[1]) * sizeof(mo_real) : 0;
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
