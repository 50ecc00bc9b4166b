/* upcycle.c -- a dense model as a Mixture-of-Experts: for every expert e of a layer
 *   W1_e = W_gate + S std(W_gate) G_1e    W3_e = W_up + S std(W_up) G_3e    W2_e = W_down + S std(W_down)
 * G_2e G normal(0, 1), S the noise; without a gate W1_e is of W_up. */
#include "moira/upcycle.h"

#include <math.h>
#include <string.h>

mo_status mo_upcycle_config(const mo_upcycle_options *o, mo_run_config *config)
{
    mo_model_config *c = &config->model;
    if (c->num_local_experts > 0)
        return mo_error(
            MO_E_CONFIG,
            "has %lld experts in its layers already (model.num_local_experts); only a dense model "
            "can be upcycled",
            (long long)c->num_local_experts);
    if (o->experts < 2)
        return mo_error(MO_E_CONFIG, "%lld experts: a router needs at least 2", (long long)o->experts);
    if (!(o->noise >= 0 && isfinite(o->noise)))
        return mo_error(MO_E_RANGE, "noise of %g standard deviations: must be 0 or more", o->noise);
    c->num_local_experts = o->experts;
    c->num_experts_per_tok = o->experts_per_token;
    c->moe_intermediate_size = 0;
    c->n_shared_experts = c->first_k_dense_replace = 0;
    c->moe_layer_freq = 1;
    c->router = MO_ROUTER_TOPK;
    c->norm_topk_prob = MO_CHOICE_TRUE;
    c->n_group = 1;
    c->topk_group = 0;
    c->routed_scaling_factor = 1;
    c->router_jitter_noise = 0;
    c->jitter_experts = false;
    c->capacity_factor = c->eval_capacity_factor = (double)NAN;
    config->balance = (mo_balance_config){.mixtral = MO_UPCYCLE_BALANCE, .scope = MO_SCOPE_MICROBATCH};
    return mo_model_config_check(c, &config->balance);
}

/* The dense parameter that an expert's is a copy of, or its own name: all else. */
static const mo_param *source_of(const mo_model *dense, const mo_param *p)
{
    static const char block[] = "block_sparse_moe.experts.";
    const char *at = strstr(p->name, block);
    if (!at) return mo_model_find(dense, p->name);
    const char *const from[] = {"gate", "down", "up"};
    char name[160];
    const mo_param *found = NULL;
    int which = at[sizeof block] - '1';            /* w1, w2, w3 */
    for (int i = which; !found && i < 3; i += 2) { /* w1: gate, or up where there is none */
        snprintf(name, sizeof name, "%.*smlp.%s_proj.weight", (int)(at - p->name), p->name, from[i]);
        found = mo_model_find(dense, name);
    }
    return found;
}

static double standard_deviation(const mo_real *w, int64_t count)
{
    double mean = 0, sum = 0;
    for (int64_t i = 0; i < count; i++) mean += (double)w[i];
    mean /= (double)count;
    for (int64_t i = 0; i < count; i++) sum += ((double)w[i] - mean) * ((double)w[i] - mean);
    return sqrt(sum / (double)count);
}

/* parameter: its number, which its random numbers hang on. */
static void copy_to_experts(const mo_real *w, int64_t count, const mo_upcycle_options *o, int parameter,
                            mo_real *out)
{
    double std = o->noise > 0 ? o->noise * standard_deviation(w, count) : 0;
#pragma omp parallel for schedule(static)
    for (int64_t e = 0; e < o->experts; e++)
        for (int64_t i = 0; i < count; i++) {
            double noise = std > 0 ? std * mo_rng_normal(o->seed, MO_RNG_UPCYCLE, 0, (uint32_t)parameter,
                                                         (uint64_t)(e * count + i))
                                   : 0;
            out[e * count + i] = (mo_real)((double)w[i] + noise);
        }
}

void mo_upcycle(const mo_model *dense, const mo_upcycle_options *o, mo_model *sparse)
{
    mo_model_init(sparse, o->seed); /* of which the routers stay */
    for (int i = 0; i < sparse->n_params; i++) {
        const mo_param *p = &sparse->params[i], *from = source_of(dense, p);
        if (!from) continue;
        const mo_real *w = dense->value + from->offset;
        mo_real *out = sparse->value + p->offset;
        if (p->count == from->count)
            memcpy(out, w, (size_t)p->count * sizeof *out);
        else
            copy_to_experts(w, from->count, o, i, out);
    }
}
