/* dropout.c -- inverted dropout (Hinton et al. 2012, arXiv:1207.0580; Srivastava et al. 2014)
 *   y_nd = x_nd m_nd / (1 - p), m_nd = 0 with probability p, else 1        dx_nd = dy_nd m_nd / (1 - p)
 * in training; y = x in evaluation. x_ND in, y_ND out; backward reads nothing: dropout.h says where m comes
 * from, its element is ((token of the step) D + d). A dropped NaN stays a NaN.
 * Threads: over blocks of elements. */
#include "ops/dropout.h"

#include "ops/kernels.h"

enum { BLOCK = 1024 };

/* factor[n] of elements first .. first+n, the first being a place's first word. */
static void whole_places(const mo__dropout *d, const mo_run *run, uint64_t first, int64_t n, mo_real *factor)
{
    enum { WORDS = 256 };
    uint32_t words[WORDS];
    double limit = rint(d->p * 0x1p32);
    uint32_t below = limit > 0xffffffffp0 ? UINT32_MAX : (uint32_t)limit;
    mo_real kept = (mo_real)(1 / (1 - d->p));
    for (int64_t i = 0; i < n; i += WORDS) {
        int64_t count = mo_min(WORDS, n - i);
        mo_rng_words(run->seed, MO_RNG_DROPOUT, (uint64_t)run->step, (uint32_t)d->stream,
                     (first + (uint64_t)i) / 4, (count + 3) / 4, words);
#pragma omp simd
        for (int64_t j = 0; j < count; j++) factor[i + j] = words[j] < below ? 0 : kept;
    }
}

void mo__dropout_factors(const mo__dropout *d, const mo_run *run, uint64_t first, int64_t n, mo_real *factor)
{
    if (!run->training || d->p <= 0) {
        for (int64_t j = 0; j < n; j++) factor[j] = 1;
        return;
    }
    int64_t skipped = (int64_t)(first % 4), head = 0;
    if (skipped) {
        mo_real four[4];
        head = mo_min(4 - skipped, n);
        whole_places(d, run, first - (uint64_t)skipped, 4, four);
        memcpy(factor, four + skipped, (size_t)head * sizeof *factor);
    }
    whole_places(d, run, first + (uint64_t)head, n - head, factor + head);
}

mo_status mo__dropout_check(const char *op, const mo__dropout *d)
{
    if (!(d->p >= 0 && d->p < 1))
        return mo_error(MO_E_RANGE, "%s: dropout probability is %g, must be at least 0 and below 1", op,
                        d->p);
    if (d->stream < 0 || d->stream >= 1 << 24)
        return mo_error(MO_E_RANGE, "%s: dropout stream is %d, must be in 0 .. %d", op, d->stream,
                        (1 << 24) - 1);
    return MO_OK;
}

/* out = in m / (1 - p), added to out if accumulate; the stream's element of in[0] is `first`. */
static void drop(mo_real *out, const mo_real *in, bool accumulate, const mo__dropout *d, const mo_run *run,
                 uint64_t first, int64_t count)
{
#pragma omp parallel for schedule(static)
    for (int64_t at = 0; at < count; at += BLOCK) {
        mo_real factor[BLOCK], *o = out + at;
        const mo_real *x = in + at;
        int64_t n = mo_min(BLOCK, count - at);
        mo__dropout_factors(d, run, first + (uint64_t)at, n, factor);
#pragma omp simd
        for (int64_t i = 0; i < n; i++) o[i] = (accumulate ? o[i] : 0) + x[i] * factor[i];
    }
}

static mo_status dropout_shape(mo_node *node)
{
    const mo_tensor *x = node->in[0];
    if (x->dtype != MO_REAL)
        return mo_error(MO_E_SHAPE, "dropout: x %s; expected real numbers", mo_shape(x).text);
    MO_TRY(mo__dropout_check("dropout", node->attr));
    return mo_node_output(node, "", MO_REAL, x->ndim, x->dim);
}

/* Where the microbatch begins in the step's elements. */
static uint64_t first_element(const mo_tensor *x, const mo_run *run)
{
    return (uint64_t)run->first_token * (uint64_t)(mo_tensor_count(x) / x->dim[0]);
}

static void dropout_forward(const mo_node *node, const mo_run *run)
{
    const mo_tensor *x = node->in[0];
    drop(node->out[0]->data, x->data, false, node->attr, run, first_element(x, run), mo_tensor_count(x));
}

static void dropout_backward(const mo_node *node, const mo_run *run)
{
    const mo_tensor *x = node->in[0];
    drop(x->grad, node->out[0]->grad, node->accumulate[0], node->attr, run, first_element(x, run),
         mo_tensor_count(x));
}

static mo_cost dropout_cost(const mo_node *node, mo_phase phase)
{
    double n = (double)mo_tensor_count(node->in[0]),
           copies = 2 + (phase == MO_BACKWARD && node->accumulate[0]);
    return (mo_cost){(MO_DROPOUT_OPERATIONS + 1) * n, copies * n * sizeof(mo_real)};
}

const mo_op mo__op_dropout = {.name = "dropout",
                              .shape = dropout_shape,
                              .forward = dropout_forward,
                              .backward = dropout_backward,
                              .flags = MO_OP_CHEAP,
                              .cost = dropout_cost};

mo_tensor *mo_dropout(mo_graph *g, mo_tensor *x_ND, double p, int stream)
{
    mo__dropout attr = {p, stream};
    if (p == 0) return x_ND;
    mo_node *node = mo_graph_node(g, &mo__op_dropout, 1, &x_ND, &attr, sizeof attr);
    return node ? node->out[0] : NULL;
}
