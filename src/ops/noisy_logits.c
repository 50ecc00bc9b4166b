/* noisy_logits.c -- noisy router logits (Shazeer et al. 2017, arXiv:1701.06538, eq. 4)
 *   sigma_ne = softplus(s_ne) + floor      h_ne = z_ne + eps_ne sigma_ne in training, z_ne in evaluation
 *   dz_ne    = dh_ne                       ds_ne = (eps_ne dh_ne + dsigma_ne) sigmoid(s_ne)
 * z_NE (clean logits) and s_NE (x W_noise) in, h_NE and sigma_NE out. eps is standard normal, a pure function
 * of (seed, step, layer, token within the step, expert): backward makes it again and reads only s.
 * Threads: over rows. */
#include "ops/kernels.h"

typedef struct {
    double floor;
    int layer;
} noisy_logits_attr;

/* max(s, 0) + log(1 + e^-|s|): neither overflows nor loses small values. */
static mo_real softplus(mo_real s)
{
    return mo_fmax(s, 0) + (mo_real)log1p((double)mo_exp(-mo_abs(s)));
}

static mo_real noise(const mo_run *run, int layer, int64_t n, int64_t e, int64_t E)
{
    uint64_t index = (uint64_t)((run->first_token + n) * E + e);
    return (mo_real)mo_rng_normal(run->seed, MO_RNG_NOISE, (uint64_t)run->step, (uint32_t)layer, index);
}

static void noisy_logits_fwd(mo_real *h_NE, mo_real *sigma_NE, const mo_real *z_NE, const mo_real *s_NE,
                             const noisy_logits_attr *attr, const mo_run *run, int64_t N, int64_t E)
{
#pragma omp parallel for schedule(static)
    for (int64_t n = 0; n < N; n++)
        for (int64_t e = 0; e < E; e++) {
            int64_t i = n * E + e;
            sigma_NE[i] = softplus(s_NE[i]) + (mo_real)attr->floor;
            h_NE[i] = run->training ? z_NE[i] + noise(run, attr->layer, n, e, E) * sigma_NE[i] : z_NE[i];
        }
}

/* dh may be NULL. */
static void noisy_logits_bwd_z(mo_real *dz, const mo_real *dh, bool accumulate, int64_t count)
{
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < count; i++) dz[i] = (accumulate ? dz[i] : 0) + (dh ? dh[i] : 0);
}

/* dh and dsigma may be NULL. Most of dh is 0: a gate passes gradient to the chosen alone. */
static void noisy_logits_bwd_s(mo_real *ds_NE, const mo_real *dh_NE, const mo_real *dsigma_NE,
                               const mo_real *s_NE, bool accumulate, int layer, const mo_run *run, int64_t N,
                               int64_t E)
{
    bool noisy = dh_NE && run->training;
#pragma omp parallel for schedule(static)
    for (int64_t n = 0; n < N; n++)
        for (int64_t e = 0; e < E; e++) {
            int64_t i = n * E + e;
            mo_real dsigma = dsigma_NE ? dsigma_NE[i] : 0;
            if (noisy && dh_NE[i] != 0) dsigma += noise(run, layer, n, e, E) * dh_NE[i];
            ds_NE[i] = (accumulate ? ds_NE[i] : 0) + dsigma * mo_sigmoid(s_NE[i]);
        }
}

static mo_status noisy_logits_shape(mo_node *node)
{
    const mo_tensor *z = node->in[0], *s = node->in[1];
    const noisy_logits_attr *attr = node->attr;
    if (z->dtype != MO_REAL || s->dtype != MO_REAL || z->ndim != 2 || s->ndim != 2 ||
        z->dim[0] != s->dim[0] || z->dim[1] != s->dim[1])
        return mo_error(MO_E_SHAPE,
                        "noisy_logits: logits %s and noise logits %s do not fit; expected two [N, E]",
                        mo_shape(z).text, mo_shape(s).text);
    if (!(attr->floor >= 0))
        return mo_error(MO_E_RANGE, "noisy_logits: noise_floor is %g, must be at least 0", attr->floor);
    MO_TRY(mo_node_output(node, "h", MO_REAL, 2, z->dim));
    return mo_node_output(node, "sigma", MO_REAL, 2, z->dim);
}

static void noisy_logits_forward(const mo_node *node, const mo_run *run)
{
    const mo_tensor *z = node->in[0];
    noisy_logits_fwd(node->out[0]->data, node->out[1]->data, z->data, node->in[1]->data, node->attr, run,
                     z->dim[0], z->dim[1]);
}

static void noisy_logits_backward(const mo_node *node, const mo_run *run)
{
    const mo_tensor *z = node->in[0], *s = node->in[1];
    const mo_real *dh = node->out[0]->grad, *dsigma = node->out[1]->grad;
    if (z->grad) noisy_logits_bwd_z(z->grad, dh, node->accumulate[0], mo_tensor_count(z));
    if (s->grad)
        noisy_logits_bwd_s(s->grad, dh, dsigma, s->data, node->accumulate[1],
                           ((const noisy_logits_attr *)node->attr)->layer, run, s->dim[0], s->dim[1]);
}

/* Philox and Box-Muller count as 60. */
static mo_cost noisy_logits_cost(const mo_node *node, mo_phase phase)
{
    double n = (double)mo_tensor_count(node->in[0]);
    return phase == MO_FORWARD ? (mo_cost){75 * n, 4 * n * sizeof(mo_real)}
                               : (mo_cost){75 * n, 5 * n * sizeof(mo_real)};
}

const mo_op mo__op_noisy_logits = {.name = "noisy_logits",
                                   .shape = noisy_logits_shape,
                                   .forward = noisy_logits_forward,
                                   .backward = noisy_logits_backward,
                                   .needs_in = MO_NEEDS(1),
                                   .cost = noisy_logits_cost};

mo_tensor *mo_noisy_logits(mo_graph *g, mo_tensor *z_NE, mo_tensor *s_NE, double floor, int layer,
                           mo_tensor **sigma_NE)
{
    noisy_logits_attr attr = {floor, layer};
    mo_node *node =
        mo_graph_node(g, &mo__op_noisy_logits, 2, (mo_tensor *[]){z_NE, s_NE}, &attr, sizeof attr);
    *sigma_NE = node ? node->out[1] : NULL;
    return node ? node->out[0] : NULL;
}
