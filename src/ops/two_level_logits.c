/* two_level_logits.c -- the experts' log-probabilities under two softmaxes, one over the groups and one in
 * each group (Jordan & Jacobs 1994; Shazeer et al. 2017, arXiv:1701.06538, appendix B)
 *   z_e = a_g - lse(a) + b_e - lse(b of group g)      for the experts e of group g: exp(z) sums to 1
 *   da_g = s_g - softmax(a)_g sum_h s_h      db_e = dz_e - softmax(b of group g)_e s_g      s_g = sum of dz
 * over group g. a_NG and b_NE in, z_NE out. Group g has the experts g E/G .. (g+1) E/G - 1. Backward reads
 * a and b.
 * Threads: over rows. */
#include "ops/kernels.h"

/* log sum exp(x) in two parts: large logits cancel in x - max. */
typedef struct {
    mo_real max, rest;
} log_sum;

static log_sum log_sum_exp(const mo_real *x, int64_t n)
{
    mo_real max = mo_row_max(x, n), sum = mo_exp(x[0] - max);
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 1; i < n; i++) sum += mo_exp(x[i] - max);
    return (log_sum){max, mo_ln(sum)};
}

static mo_real row_sum(const mo_real *x, int64_t n)
{
    mo_real sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; i++) sum += x[i];
    return sum;
}

static void two_level_logits_fwd(mo_real *z_NE, const mo_real *a_NG, const mo_real *b_NE, int64_t N,
                                 int64_t G, int64_t size)
{
#pragma omp parallel for schedule(static)
    for (int64_t n = 0; n < N; n++) {
        const mo_real *a = a_NG + n * G;
        log_sum all = log_sum_exp(a, G);
        for (int64_t g = 0; g < G; g++) {
            const mo_real *b = b_NE + (n * G + g) * size;
            log_sum own = log_sum_exp(b, size);
            mo_real *z = z_NE + (n * G + g) * size, shift = (a[g] - all.max) - all.rest - own.rest;
#pragma omp simd
            for (int64_t e = 0; e < size; e++) z[e] = (b[e] - own.max) + shift;
        }
    }
}

static void two_level_logits_bwd_a(mo_real *da_NG, const mo_real *dz_NE, const mo_real *a_NG, bool accumulate,
                                   int64_t N, int64_t G, int64_t size)
{
#pragma omp parallel for schedule(static)
    for (int64_t n = 0; n < N; n++) {
        const mo_real *a = a_NG + n * G, *dz = dz_NE + n * G * size;
        log_sum all = log_sum_exp(a, G);
        mo_real total = row_sum(dz, G * size);
        for (int64_t g = 0; g < G; g++) {
            mo_real *da = da_NG + n * G + g;
            *da = (accumulate ? *da : 0) + row_sum(dz + g * size, size) -
                  mo_exp(a[g] - all.max - all.rest) * total;
        }
    }
}

static void two_level_logits_bwd_b(mo_real *db_NE, const mo_real *dz_NE, const mo_real *b_NE, bool accumulate,
                                   int64_t groups, int64_t size)
{
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < groups; i++) {
        const mo_real *b = b_NE + i * size, *dz = dz_NE + i * size;
        log_sum all = log_sum_exp(b, size);
        mo_real *db = db_NE + i * size, total = row_sum(dz, size);
#pragma omp simd
        for (int64_t e = 0; e < size; e++)
            db[e] = (accumulate ? db[e] : 0) + dz[e] - mo_exp(b[e] - all.max - all.rest) * total;
    }
}

static mo_status two_level_logits_shape(mo_node *node)
{
    const mo_tensor *a = node->in[0], *b = node->in[1];
    if (a->dtype != MO_REAL || b->dtype != MO_REAL || a->ndim != 2 || b->ndim != 2 || a->dim[0] != b->dim[0])
        return mo_error(
            MO_E_SHAPE,
            "two_level_logits: groups' logits %s and experts' %s do not fit; expected [N, G] and [N, E]",
            mo_shape(a).text, mo_shape(b).text);
    if (b->dim[1] % a->dim[1] != 0)
        return mo_error(MO_E_SHAPE, "two_level_logits: %lld groups do not divide the %lld experts",
                        (long long)a->dim[1], (long long)b->dim[1]);
    return mo_node_output(node, "", MO_REAL, 2, b->dim);
}

static void two_level_logits_forward(const mo_node *node, const mo_run *run)
{
    (void)run;
    const mo_tensor *a = node->in[0], *b = node->in[1];
    int64_t G = a->dim[1];
    two_level_logits_fwd(node->out[0]->data, a->data, b->data, a->dim[0], G, b->dim[1] / G);
}

static void two_level_logits_backward(const mo_node *node, const mo_run *run)
{
    (void)run;
    const mo_tensor *a = node->in[0], *b = node->in[1];
    const mo_real *dz = node->out[0]->grad;
    int64_t N = a->dim[0], G = a->dim[1], size = b->dim[1] / G;
    if (a->grad) two_level_logits_bwd_a(a->grad, dz, a->data, node->accumulate[0], N, G, size);
    if (b->grad) two_level_logits_bwd_b(b->grad, dz, b->data, node->accumulate[1], N * G, size);
}

static mo_cost two_level_logits_cost(const mo_node *node, mo_phase phase)
{
    double a = (double)mo_tensor_count(node->in[0]), b = (double)mo_tensor_count(node->in[1]);
    return phase == MO_FORWARD ? (mo_cost){15 * (a + b), (a + 2 * b) * sizeof(mo_real)}
                               : (mo_cost){30 * (a + b), (2 * a + 3 * b) * sizeof(mo_real)};
}

const mo_op mo__op_two_level_logits = {.name = "two_level_logits",
                                       .shape = two_level_logits_shape,
                                       .forward = two_level_logits_forward,
                                       .backward = two_level_logits_backward,
                                       .needs_in = MO_NEEDS(0) | MO_NEEDS(1),
                                       .cost = two_level_logits_cost};

mo_tensor *mo_two_level_logits(mo_graph *g, mo_tensor *a_NG, mo_tensor *b_NE)
{
    mo_node *node = mo_graph_node(g, &mo__op_two_level_logits, 2, (mo_tensor *[]){a_NG, b_NE}, NULL, 0);
    return node ? node->out[0] : NULL;
}
