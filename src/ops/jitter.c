/* jitter.c -- the router's input times noise (Switch: Fedus et al. 2021, arXiv:2101.03961, appendix C)
 *   y_nd = x_nd u_nd in training, u uniform in [1 - eps, 1 + eps); y = x in evaluation        dx = dy u
 * x_ND in, y_ND out; backward reads nothing. u_nd = 1 - eps + 2 eps r, r of 24 bits: the top ones of word
 * d mod 4 of mo_rng_bits(seed, MO_RNG_JITTER, step, layer, (token of the step) ceil(D/4) + d/4).
 * Threads: over rows. */
#include "ops/kernels.h"

enum { WORDS = 256 };

typedef struct {
    double eps;
    int layer;
} jitter_attr;

/* out_d = in_d u_d of one token, added to out if accumulate. */
static void jitter_row(mo_real *out, const mo_real *in, bool accumulate, const jitter_attr *a,
                       const mo_run *run, int64_t token, int64_t D)
{
    uint32_t words[WORDS];
    uint64_t place = (uint64_t)token * (uint64_t)((D + 3) / 4);
    mo_real low = (mo_real)(1 - a->eps), width = (mo_real)(2 * a->eps);
    for (int64_t at = 0; at < D; at += WORDS) {
        int64_t n = mo_min(WORDS, D - at);
        mo_rng_words(run->seed, MO_RNG_JITTER, (uint64_t)run->step, (uint32_t)a->layer,
                     place + (uint64_t)at / 4, (n + 3) / 4, words);
        mo_real *o = out + at;
        const mo_real *x = in + at;
#pragma omp simd
        for (int64_t d = 0; d < n; d++) {
            mo_real r = (mo_real)(int32_t)(words[d] >> 8) * MO_C(0x1p-24);
            o[d] = (accumulate ? o[d] : 0) + x[d] * (low + width * r);
        }
    }
}

static void jitter(mo_real *out_ND, const mo_real *in_ND, bool accumulate, const jitter_attr *a,
                   const mo_run *run, int64_t N, int64_t D)
{
#pragma omp parallel for schedule(static)
    for (int64_t n = 0; n < N; n++)
        jitter_row(out_ND + n * D, in_ND + n * D, accumulate, a, run, run->first_token + n, D);
}

/* Without noise. */
static void pass(mo_real *out, const mo_real *in, bool accumulate, int64_t count)
{
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < count; i++) out[i] = (accumulate ? out[i] : 0) + in[i];
}

static void apply(mo_real *out_ND, const mo_real *in_ND, bool accumulate, const mo_node *node,
                  const mo_run *run)
{
    const mo_tensor *x = node->in[0];
    if (run->training)
        jitter(out_ND, in_ND, accumulate, node->attr, run, x->dim[0], x->dim[1]);
    else
        pass(out_ND, in_ND, accumulate, mo_tensor_count(x));
}

static mo_status jitter_shape(mo_node *node)
{
    const mo_tensor *x = node->in[0];
    const jitter_attr *a = node->attr;
    if (x->dtype != MO_REAL || x->ndim != 2)
        return mo_error(MO_E_SHAPE, "jitter: x %s; expected [N, D]", mo_shape(x).text);
    if (!(a->eps >= 0 && a->eps < 1))
        return mo_error(MO_E_RANGE, "jitter: router_jitter_noise is %g, must be at least 0 and below 1",
                        a->eps);
    if (a->layer < 0 || a->layer >= 1 << 24)
        return mo_error(MO_E_RANGE, "jitter: layer is %d, must be in 0 .. %d", a->layer, (1 << 24) - 1);
    return mo_node_output(node, "", MO_REAL, 2, x->dim);
}

static void jitter_forward(const mo_node *node, const mo_run *run)
{
    apply(node->out[0]->data, node->in[0]->data, false, node, run);
}

static void jitter_backward(const mo_node *node, const mo_run *run)
{
    apply(node->in[0]->grad, node->out[0]->grad, node->accumulate[0], node, run);
}

/* A Philox call of some 100 operations gives four. */
static mo_cost jitter_cost(const mo_node *node, mo_phase phase)
{
    double n = (double)mo_tensor_count(node->in[0]),
           copies = 2 + (phase == MO_BACKWARD && node->accumulate[0]);
    return (mo_cost){29 * n, copies * n * sizeof(mo_real)};
}

const mo_op mo__op_jitter = {.name = "jitter",
                             .shape = jitter_shape,
                             .forward = jitter_forward,
                             .backward = jitter_backward,
                             .flags = MO_OP_CHEAP,
                             .cost = jitter_cost};

mo_tensor *mo_jitter(mo_graph *g, mo_tensor *x_ND, double eps, int layer)
{
    jitter_attr attr = {eps, layer};
    if (eps == 0) return x_ND;
    mo_node *node = mo_graph_node(g, &mo__op_jitter, 1, &x_ND, &attr, sizeof attr);
    return node ? node->out[0] : NULL;
}
