/* cross_entropy.c -- the LM head and the cross-entropy of its logits, without ever holding N x V logits
 *   z_nv = sum_d x_nd w_vd        loss_n = lse_v(z_nv) - z_n,t(n) in nats, 0 where t(n) < 0
 *   loss = sum_n loss_n           dz_nv = dloss (softmax(z_n)_v - [v = t(n)]), 0 where t(n) < 0
 *   dx = dz w                     dw = sum_n dz_n x_n
 * x_ND, w_VD and targets_N (int32, checked against V where they are loaded) in; loss_1 and loss_N (float64,
 * no gradient into the latter) out. Rows are taken in chunks whose logits fit scratch; lse is the largest
 * logit plus the logarithm of a sum of exponentials that are <= 1. Backward reads all inputs, and computes
 * the losses as well (MO_OP_FUSED_LOSS), so that a training step makes the logits once.
 * w, frozen, may be stored.
 * Threads: mo_gemm's tiles; softmax over rows; the loss is summed in double in the order of rows. */
#include "ops/kernels.h"
#include "ops/weight.h"

enum { LOGITS = 1 << 24, ROWS_UNIT = 64, ROWS_MIN = 128, PART = 512 };

static int64_t chunk_rows(int64_t N, int64_t V)
{
    int64_t rows = mo_max(LOGITS / V / ROWS_UNIT * ROWS_UNIT, ROWS_MIN);
    return mo_min(rows, (N + ROWS_UNIT - 1) / ROWS_UNIT * ROWS_UNIT);
}

/* z_v becomes exp(z_v - max); the sum of that, by parts in double. */
static double exponentials(mo_real *z, mo_real max, int64_t V)
{
    double sum = 0;
    for (int64_t first = 0; first < V; first += PART) {
        int64_t end = mo_min(first + PART, V);
        mo_real part = 0;
#pragma omp simd reduction(+ : part)
        for (int64_t v = first; v < end; v++) part += z[v] = mo_exp(z[v] - max);
        sum += (double)part;
    }
    return sum;
}

/* Loss of one row. z becomes dz if backward, else is left as rubbish. */
static double row_loss(mo_real *z, int64_t target, bool backward, double dloss, int64_t V)
{
    MO_ASSERT(target < V);
    if (target < 0) {
        if (backward) memset(z, 0, (size_t)V * sizeof *z);
        return 0;
    }
    mo_real max = mo_row_max(z, V), at_target = z[target];
    double sum = exponentials(z, max, V);
    if (backward) {
        mo_real scale = (mo_real)(dloss / sum);
#pragma omp simd
        for (int64_t v = 0; v < V; v++) z[v] *= scale;
        z[target] -= (mo_real)dloss;
    }
    return log(sum) + ((double)max - (double)at_target);
}

static void softmax_rows(mo_real *z_NV, double *loss_N, const int32_t *targets_N, bool backward, double dloss,
                         int64_t N, int64_t V)
{
#pragma omp parallel for schedule(static)
    for (int64_t n = 0; n < N; n++) loss_N[n] = row_loss(z_NV + n * V, targets_N[n], backward, dloss, V);
}

static mo_status cross_entropy_shape(mo_node *node)
{
    const mo_tensor *x = node->in[0], *w = node->in[1], *targets = node->in[2];
    if (x->dtype != MO_REAL || w->dtype != MO_REAL || targets->dtype != MO_I32 || x->ndim != 2 ||
        w->ndim != 2 || targets->ndim != 1 || w->dim[1] != x->dim[1] || targets->dim[0] != x->dim[0])
        return mo_error(
            MO_E_SHAPE,
            "cross_entropy: x %s, weight %s and targets %s do not fit; expected [N, D], [V, D] and int32 [N]",
            mo_shape(x).text, mo_shape(w).text, mo_shape(targets).text);
    MO_TRY(mo_node_output(node, "", MO_F64, 1, (int64_t[]){1}));
    MO_TRY(mo_node_output(node, "rows", MO_F64, 1, targets->dim));
    node->out[1]->needs_grad = false;
    return MO_OK;
}

/* One pass over the rows; the gradients too if backward. */
static void run_chunks(const mo_node *node, bool backward)
{
    const mo_tensor *x = node->in[0], *w = node->in[1];
    const int32_t *targets_N = node->in[2]->data;
    double dloss = backward && node->out[0]->grad ? (double)node->out[0]->grad[0] : 0;
    double *loss = node->out[0]->data, *loss_N = node->out[1]->data;
    int64_t N = x->dim[0], D = x->dim[1], V = w->dim[0], rows = chunk_rows(N, V);
    mo_real *z = node->scratch;
    for (int64_t first = 0; first < N; first += rows) {
        int64_t n = mo_min(rows, N - first);
        const mo_real *x_nD = (const mo_real *)x->data + first * D;
        mo__weight_nt(w, n, x_nD, z);
        softmax_rows(z, loss_N + first, targets_N + first, backward, dloss, n, V);
        if (!backward) continue;
        if (x->grad) mo__weight_nn(w, n, z, node->accumulate[0], x->grad + first * D);
        if (w->grad)
            mo_gemm(true, false, V, D, n, 1, z, V, x_nD, D, node->accumulate[1] || first > 0, w->grad, D);
    }
    *loss = 0;
    for (int64_t n = 0; n < N; n++) *loss += loss_N[n];
}

static void cross_entropy_forward(const mo_node *node, const mo_run *run)
{
    (void)run;
    run_chunks(node, false);
}

static void cross_entropy_backward(const mo_node *node, const mo_run *run)
{
    (void)run;
    run_chunks(node, true);
}

static size_t cross_entropy_scratch(const mo_node *node, mo_phase phase)
{
    (void)phase;
    int64_t V = node->in[1]->dim[0], rows = chunk_rows(node->in[0]->dim[0], V);
    return (size_t)rows * (size_t)V * sizeof(mo_real);
}

static mo_cost cross_entropy_cost(const mo_node *node, mo_phase phase)
{
    double N = (double)node->in[0]->dim[0], n_x = (double)mo_tensor_count(node->in[0]);
    double w = (double)mo_tensor_bytes(node->in[1]), V = (double)node->in[1]->dim[0];
    bool dx = phase == MO_BACKWARD && node->in[0]->needs_grad,
         dw = phase == MO_BACKWARD && node->in[1]->needs_grad;
    return (mo_cost){(1 + dx + dw) * 2 * n_x * V + 20 * N * V,
                     (1 + dx) * n_x * sizeof(mo_real) + (1 + 2 * dw) * w};
}

const mo_op mo__op_cross_entropy = {.name = "cross_entropy",
                                    .shape = cross_entropy_shape,
                                    .forward = cross_entropy_forward,
                                    .backward = cross_entropy_backward,
                                    .needs_in = MO_NEEDS_ALL,
                                    .takes_stored = MO_NEEDS(1),
                                    .flags = MO_OP_FUSED_LOSS,
                                    .scratch = cross_entropy_scratch,
                                    .cost = cross_entropy_cost};

mo_tensor *mo_cross_entropy(mo_graph *g, mo_tensor *x_ND, mo_tensor *w_VD, mo_tensor *targets_N,
                            mo_tensor **rows_N)
{
    mo_node *node =
        mo_graph_node(g, &mo__op_cross_entropy, 3, (mo_tensor *[]){x_ND, w_VD, targets_N}, NULL, 0);
    if (rows_N) *rows_N = node ? node->out[1] : NULL;
    return node ? node->out[0] : NULL;
}
