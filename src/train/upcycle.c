/* upcycle.c -- a dense model as a Mixture-of-Experts: for every expert e of a layer
 *   W1_e = W_gate + S std(W_gate) G_1e    W3_e = W_up + S std(W_up) G_3e
 *   W2_e = W_down + S std(W_down) G_2e
 * G normal(0, 1), S the noise; without a gate W1_e is of W_up. */
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
    config->tuning.freeze.count = 0;
    return mo_model_config_check(c, &config->balance);
}

static const char block[] = "block_sparse_moe.experts.";

/* The dense parameter that an expert's matrices are copies of; of all else but routers its own. */
static const mo_param *source_of(const mo_model *dense, const mo_param *p)
{
    static const char *const from[] = {"gate", "down", "up"}; /* of w1, w2, w3 */
    const char *at = strstr(p->name, block);
    if (!at) return mo_model_find(dense, p->name);
    const mo_param *found = NULL;
    for (int i = at[sizeof block] - '1'; !found && i < 3; i += 2) { /* w1: up where there is no gate */
        char name[160];
        snprintf(name, sizeof name, "%.*smlp.%s_proj.weight", (int)(at - p->name), p->name, from[i]);
        found = mo_model_find(dense, name);
    }
    return found;
}

/* ---- what is drawn ---- */

/* Elements at once: a power of two, so that blocks of a matrix do not hang on threads. */
enum { BLOCK = 4096 };

static double standard_deviation(const mo_model *dense, const mo_param *p)
{
    mo_real w[BLOCK];
    double sum = 0, squares = 0, n = (double)p->count;
    for (int pass = 0; pass < 2; pass++)
        for (int64_t first = 0; first < p->count; first += BLOCK) {
            int64_t count = p->count - first < BLOCK ? p->count - first : BLOCK;
            mo_model_values(dense, p, first, count, w);
            for (int64_t i = 0; i < count; i++) {
                double off = (double)w[i] - sum / n;
                if (pass == 0)
                    sum += (double)w[i];
                else
                    squares += off * off;
            }
        }
    return sqrt(squares / n);
}

/* A new model's parameter under way: random numbers hang on its number and the element's. */
typedef struct drawn {
    const mo_upcycle_options *options;
    uint32_t parameter;
    double std;
} drawn;

static mo_real draw(const drawn *d, int64_t element)
{
    return (mo_real)(d->std *
                     mo_rng_normal(d->options->seed, MO_RNG_UPCYCLE, 0, d->parameter, (uint64_t)element));
}

/* Elements [first, first + count) of the dense matrix and noise, as expert e's, to out, in its own type. */
static void noisy_block(const mo_model *dense, const mo_param *from, const drawn *d, int64_t e, int64_t first,
                        char *out)
{
    mo_real w[BLOCK];
    int64_t count = from->count - first < BLOCK ? from->count - first : BLOCK, at = e * from->count + first;
    mo_model_values(dense, from, first, count, w);
    for (int64_t i = 0; i < count && d->std > 0; i++) w[i] += draw(d, at + i);
    if (from->stored)
        mo_narrow(from->stored->dtype, w, count, out + (size_t)at * mo_dtype_size(from->stored->dtype));
    else
        memcpy(out + (size_t)at * sizeof *w, w, (size_t)count * sizeof *w);
}

static void noisy_experts(const mo_model *dense, const mo_param *from, const drawn *d, char *out)
{
    int64_t blocks = (from->count + BLOCK - 1) / BLOCK;
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t e = 0; e < d->options->experts; e++)
        for (int64_t b = 0; b < blocks; b++) noisy_block(dense, from, d, e, b * BLOCK, out);
}

/* ---- arrays ---- */

/* Room of the array's own, which it points to, as stored weights where the dense ones are. */
static void *own(mo_upcycled *u, int i, const mo_stored *like, const mo_param *p)
{
    size_t width = like ? mo_dtype_size(like->dtype) : sizeof(mo_real);
    return u->owned[i] = mo_malloc((size_t)p->count * width);
}

/* All experts: one matrix each from `first` on, `step` bytes apart. */
static void point(mo_upcycled *u, int i, mo_dtype dtype, int64_t experts, int64_t count, const void *first,
                  size_t step)
{
    const void **parts = u->parts + (int64_t)i * experts;
    for (int64_t e = 0; e < experts; e++) parts[e] = (const char *)first + (size_t)e * step;
    u->stored[i] = (mo_stored){dtype, experts, count, parts};
    u->arrays[i].stored = &u->stored[i];
}

static mo_status add_experts(mo_upcycled *u, int i, const mo_model *dense, const mo_param *from,
                             const mo_upcycle_options *o, const mo_param *p)
{
    const bool in_place = from->stored || sizeof(mo_real) == sizeof(float);
    const mo_dtype dtype = from->stored ? from->stored->dtype : MO_F32;
    if (o->noise <= 0 && in_place) { /* the same matrix for all */
        const void *matrix = from->stored ? from->stored->part[0] : dense->value + from->offset;
        point(u, i, dtype, o->experts, from->count, matrix, 0);
        return MO_OK;
    }
    drawn d = {o, (uint32_t)i, o->noise > 0 ? o->noise * standard_deviation(dense, from) : 0};
    char *out = own(u, i, from->stored, p);
    if (!out) return MO_E_MEMORY;
    noisy_experts(dense, from, &d, out);
    if (from->stored)
        point(u, i, dtype, o->experts, from->count, out, (size_t)from->count * mo_dtype_size(dtype));
    else
        u->arrays[i].data = u->owned[i];
    return MO_OK;
}

static mo_status add_router(mo_upcycled *u, int i, const mo_upcycle_options *o, const mo_param *p)
{
    drawn d = {o, (uint32_t)i, p->init_std};
    mo_real *w = own(u, i, NULL, p);
    if (!w) return MO_E_MEMORY;
    for (int64_t j = 0; j < p->count; j++) w[j] = draw(&d, j);
    u->arrays[i].data = w;
    return MO_OK;
}

static mo_status add(mo_upcycled *u, int i, const mo_model *dense, const mo_upcycle_options *o,
                     const mo_param *p)
{
    const mo_param *from = source_of(dense, p);
    u->arrays[i] = (mo_checkpoint_array){.group = "model", .name = p->name, .ndim = p->ndim};
    memcpy(u->arrays[i].dim, p->dim, sizeof p->dim);
    if (!from) return add_router(u, i, o, p);
    if (strstr(p->name, block)) return add_experts(u, i, dense, from, o, p);
    u->arrays[i].stored = from->stored;
    if (!from->stored) u->arrays[i].data = dense->value + from->offset;
    return MO_OK;
}

mo_status mo_upcycle(const mo_model *dense, const mo_upcycle_options *o, const mo_model *sparse,
                     mo_upcycled *out)
{
    size_t n = (size_t)sparse->n_params;
    *out = (mo_upcycled){.arrays = mo_calloc(n, sizeof *out->arrays),
                         .n_arrays = sparse->n_params,
                         .stored = mo_calloc(n, sizeof *out->stored),
                         .parts = mo_calloc(n * (size_t)o->experts, sizeof *out->parts),
                         .owned = mo_calloc(n, sizeof *out->owned)};
    bool room = out->arrays && out->stored && out->parts && out->owned;
    mo_status status = room ? MO_OK : MO_E_MEMORY;
    for (int i = 0; status == MO_OK && i < sparse->n_params; i++)
        status = add(out, i, dense, o, &sparse->params[i]);
    if (status != MO_OK) mo_upcycled_free(out);
    return status;
}

void mo_upcycled_free(mo_upcycled *u)
{
    for (int i = 0; u->owned && i < u->n_arrays; i++) mo_free(u->owned[i]);
    mo_free(u->arrays);
    mo_free(u->stored);
    mo_free(u->parts);
    mo_free(u->owned);
    *u = (mo_upcycled){0};
}
