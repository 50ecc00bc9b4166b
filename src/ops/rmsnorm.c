/* rmsnorm.c -- RMSNorm (Zhang & Sennrich 2019, arXiv:1910.07467)
 *   r_n   = (mean_d x_nd^2 + eps)^-1/2          y_nd = x_nd r_n g_d
 *   dx_nd = r_n (g_d dy_nd - x_nd r_n^2/D sum_j g_j dy_nj x_nj)
 *   dg_d  = sum_n dy_nd x_nd r_n
 * x_ND in, g_D parameter, y_ND out. With g_W, W a divisor of D, each of the H = D/W blocks of a row is a row
 * of its own under the same weight (query-key norm per head, Qwen3). Backward reads x and makes r again,
 * while the row is in cache for dx and dg. Threads: over rows, in backward over chunks of TOKENS tokens, each
 * with a sum of its own for dg; those are added in order. */
#include "ops/kernels.h"

typedef struct {
    double eps;
} rmsnorm_attr;

enum { TOKENS = 32, COLUMNS = 64 };

static int64_t chunks_of(int64_t N)
{
    return (N + TOKENS - 1) / TOKENS;
}

/* From the sum of squares of W elements. */
static mo_real inverse_rms(mo_real sum, double eps, int64_t W)
{
    return (mo_real)(1.0 / sqrt((double)sum / (double)W + eps));
}

/* N rows of width D: a block with a weight of its own width is a row. */
static void rmsnorm_fwd(mo_real *y_ND, const mo_real *x_ND, const mo_real *g_D, double eps, int64_t N,
                        int64_t D)
{
#pragma omp parallel for schedule(static)
    for (int64_t n = 0; n < N; n++) {
        const mo_real *x = x_ND + n * D;
        mo_real *y = y_ND + n * D;
        mo_real r = inverse_rms(mo_row_dot(x, x, D), eps, D);
#pragma omp simd
        for (int64_t d = 0; d < D; d++) y[d] = x[d] * r * g_D[d];
    }
}

/* What backward writes: dx_NW of rows of width W, or NULL; a chunk's part of dg_W, or NULL. */
typedef struct {
    mo_real *dx, *part;
    bool accumulate; /* of dx */
} row_grads;

static void row_bwd(row_grads d, const mo_real *dy, const mo_real *x, const mo_real *g_W, double eps,
                    int64_t W)
{
    mo_real sum = 0, dot = 0;
#pragma omp simd reduction(+ : sum, dot)
    for (int64_t i = 0; i < W; i++) {
        sum += x[i] * x[i];
        dot += g_W[i] * dy[i] * x[i];
    }
    mo_real r = inverse_rms(sum, eps, W), c = r * r * dot / (mo_real)W;
    bool add = d.accumulate;
    if (d.part)
#pragma omp simd
        for (int64_t i = 0; i < W; i++) d.part[i] += dy[i] * (x[i] * r);
    if (d.dx)
#pragma omp simd
        for (int64_t i = 0; i < W; i++) d.dx[i] = (add ? d.dx[i] : 0) + r * (g_W[i] * dy[i] - x[i] * c);
}

/* Rows of `heads` blocks each. part_CW: a sum for each chunk of tokens, NULL if dg is not asked for. */
static void rmsnorm_bwd(mo_real *dx_NW, mo_real *part_CW, const mo_real *dy_NW, const mo_real *x_NW,
                        const mo_real *g_W, double eps, bool accumulate, int64_t N, int64_t heads, int64_t W)
{
#pragma omp parallel for schedule(static)
    for (int64_t first = 0; first < N; first += TOKENS) {
        mo_real *part = part_CW ? part_CW + first / TOKENS * W : NULL;
        if (part) memset(part, 0, (size_t)W * sizeof *part);
        for (int64_t n = first * heads; n < mo_min(first + TOKENS, N) * heads; n++)
            row_bwd((row_grads){dx_NW ? dx_NW + n * W : NULL, part, accumulate}, dy_NW + n * W, x_NW + n * W,
                    g_W, eps, W);
    }
}

static void add_parts(mo_real *dg_W, const mo_real *part_CW, bool accumulate, int64_t chunks, int64_t W)
{
#pragma omp parallel for schedule(static)
    for (int64_t first = 0; first < W; first += COLUMNS) {
        int64_t width = mo_min(COLUMNS, W - first);
        mo_real sum[COLUMNS] = {0};
        for (int64_t c = 0; c < chunks; c++)
#pragma omp simd
            for (int64_t i = 0; i < width; i++) sum[i] += part_CW[c * W + first + i];
        for (int64_t i = 0; i < width; i++) dg_W[first + i] = (accumulate ? dg_W[first + i] : 0) + sum[i];
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
    int64_t N = x->dim[0], W = g->dim[0];
    mo_real *part_CW = g->grad ? node->scratch : NULL;
    rmsnorm_bwd(x->grad, part_CW, node->out[0]->grad, x->data, g->data, ((rmsnorm_attr *)node->attr)->eps,
                node->accumulate[0], N, x->dim[1] / W, W);
    if (g->grad) add_parts(g->grad, part_CW, node->accumulate[1], chunks_of(N), W);
}

static size_t rmsnorm_scratch(const mo_node *node, mo_phase phase)
{
    int64_t parts = chunks_of(node->in[0]->dim[0]) * node->in[1]->dim[0];
    return phase == MO_BACKWARD ? (size_t)parts * sizeof(mo_real) : 0;
}

static mo_cost rmsnorm_cost(const mo_node *node, mo_phase phase)
{
    double n = (double)mo_tensor_count(node->in[0]);
    return phase == MO_FORWARD ? (mo_cost){4 * n, 2 * n * sizeof(mo_real)}
                               : (mo_cost){12 * n, (3 + node->accumulate[0]) * n * sizeof(mo_real)};
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
