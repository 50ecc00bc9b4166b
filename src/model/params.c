/* params.c -- the registry: names, shapes, initial values. Where values lie is slabs.c's, what trains
 * tuning.c's, adapters are lora.c's. */
#include <stdlib.h>
#include <string.h>
#include <math.h>

#include "model/build.h"

double mo__residual_std(const mo_model_config *c)
{
    return c->initializer_range / sqrt(2.0 * (double)c->num_hidden_layers);
}

/* For one more parameter: at 0, 1, 2, 4, ... of them the room doubles, so that many cost no more than their
 * number. */
static bool make_room(mo_model *m)
{
    size_t n = (size_t)m->n_params;
    if (n & (n - 1)) return true;
    mo_param *grown = mo_realloc(m->params, (n ? 2 * n : 1) * sizeof *grown);
    if (grown) m->params = grown;
    return grown != NULL;
}

static mo_status declare(mo_model *m, char *name, int ndim, const int64_t *dim, mo_init_kind init, double std,
                         double active)
{
    if (!name) return MO_E_MEMORY;
    if (!make_room(m)) {
        mo_free(name);
        return MO_E_MEMORY;
    }
    mo_param *p = &m->params[m->n_params++];
    *p = (mo_param){.name = name,
                    .ndim = ndim,
                    .count = 1,
                    .active = active,
                    .decay = ndim >= 2,
                    .init = (int)init,
                    .init_std = std};
    for (int i = 0; i < ndim; i++) {
        p->dim[i] = dim[i];
        if (__builtin_mul_overflow(p->count, dim[i], &p->count) || p->count > INT64_MAX / 64)
            return mo_error(MO_E_CONFIG, "%s would have more elements than fit any memory", name);
    }
    return MO_OK;
}

mo_status mo__declare(mo_model *m, const char *name, int ndim, const int64_t *dim, mo_init_kind init,
                      double std)
{
    return declare(m, mo_strdup(name), ndim, dim, init, std, 1);
}

mo_status mo__declare_layer(mo_model *m, int64_t layer, const char *name, int ndim, const int64_t *dim,
                            mo_init_kind init, double std, double active)
{
    return declare(m, mo_strprintf("model.layers.%lld.%s", (long long)layer, name), ndim, dim, init, std,
                   active);
}

mo_status mo__declare_owned(mo_model *m, char *name, int ndim, const int64_t *dim, mo_init_kind init,
                            double std, double active)
{
    return declare(m, name, ndim, dim, init, std, active);
}

mo_status mo__declare_buffer(mo_model *m, int64_t layer, const char *name, int ndim, const int64_t *dim)
{
    MO_TRY(mo__declare_layer(m, layer, name, ndim, dim, MO_INIT_ZERO, 0, 1));
    m->params[m->n_params - 1].buffer = true;
    m->params[m->n_params - 1].decay = false;
    return MO_OK;
}

static int by_name(const void *a, const void *b)
{
    const mo_param *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

static int name_against(const void *name, const void *p)
{
    const mo_param *const *x = p;
    return strcmp(name, (*x)->name);
}

/* Once all are declared, since they move until then. */
static mo_status sort_names(mo_model *m)
{
    m->by_name = mo_malloc((size_t)m->n_params * sizeof(mo_param *));
    if (!m->by_name) return MO_E_MEMORY;
    for (int i = 0; i < m->n_params; i++) m->by_name[i] = &m->params[i];
    qsort(m->by_name, (size_t)m->n_params, sizeof(mo_param *), by_name);
    return MO_OK;
}

const mo_param *mo_model_find(const mo_model *m, const char *name)
{
    const mo_param **found = bsearch(name, m->by_name, (size_t)m->n_params, sizeof(mo_param *), name_against);
    return found ? *found : NULL;
}

mo_tensor *mo__param(mo__builder *b, const char *name)
{
    const mo_param *p = mo_model_find(b->model, name);
    MO_ASSERT(p);
    mo_tensor **slot = &b->params[p - b->model->params];
    static mo_real unbound; /* marks that gradients are wanted; mo_model_graph_attach sets the real places */
    mo_real *grad = b->options->kind == MO_GRAPH_TRAIN && mo_param_trains(p) ? &unbound : NULL;
    if (!*slot)
        *slot = p->stored ? mo_graph_param_stored(b->g, name, p->ndim, p->dim, p->stored)
                          : mo_graph_param(b->g, name, p->ndim, p->dim, NULL, grad);
    return *slot;
}

mo_tensor *mo__layer_param(mo__builder *b, int64_t layer, const char *name)
{
    char full[160];
    snprintf(full, sizeof full, "model.layers.%lld.%s", (long long)layer, name);
    return mo__param(b, full);
}

static mo_status declare_all(mo_model *m)
{
    const mo_model_config *c = &m->config;
    int64_t D = c->hidden_size, table[] = {c->vocab_size, D};
    MO_TRY(mo__declare(m, "model.embed_tokens.weight", 2, table, MO_INIT_NORMAL, c->initializer_range));
    for (int64_t l = 0; l < c->num_hidden_layers; l++) {
        MO_TRY(mo__declare_layer(m, l, "input_layernorm.weight", 1, &D, MO_INIT_ONE, 0, 1));
        MO_TRY(mo__attention_declare(m, l));
        MO_TRY(mo__declare_layer(m, l, "post_attention_layernorm.weight", 1, &D, MO_INIT_ONE, 0, 1));
        MO_TRY(mo_model_config_is_moe(c, l) ? mo__moe_declare(m, l)
                                            : mo__ffn_declare(m, l, "mlp", c->intermediate_size));
    }
    MO_TRY(mo__declare(m, "model.norm.weight", 1, &D, MO_INIT_ONE, 0));
    if (!c->tie_word_embeddings)
        MO_TRY(mo__declare(m, "lm_head.weight", 2, table, MO_INIT_NORMAL, c->initializer_range));
    return MO_OK;
}

static mo_status create(mo_model *m, const mo_tuning_config *tuning)
{
    MO_TRY(declare_all(m));
    if (tuning) MO_TRY(mo__lora_declare(m, tuning));
    MO_TRY(sort_names(m));
    if (tuning) MO_TRY(mo__tuning_apply(m, tuning));
    return mo__slabs_settle(m);
}

mo_status mo_model_create_tuned(const mo_model_config *config, const mo_tuning_config *tuning, mo_model **out)
{
    MO_TRY(mo_model_config_check(config, NULL));
    if (config->vocab_size < 1)
        return mo_error(MO_E_CONFIG, "model.vocab_size is %lld; it comes from the data or must be given",
                        (long long)config->vocab_size);
    mo_model *m = mo_calloc(1, sizeof *m);
    if (!m) return MO_E_MEMORY;
    m->config = *config;
    mo_model_config_resolve(&m->config);
    mo_status status = create(m, tuning);
    if (status != MO_OK) {
        mo_model_free(m);
        return status;
    }
    *out = m;
    return MO_OK;
}

mo_status mo_model_create(const mo_model_config *config, mo_model **out)
{
    return mo_model_create_tuned(config, NULL, out);
}

void mo_model_free(mo_model *m)
{
    if (!m) return;
    mo__slabs_free(m);
    for (int i = 0; i < m->n_params; i++) mo_free(m->params[i].name);
    mo_free(m->params);
    mo_free(m->by_name);
    mo_free(m);
}

/* The random numbers of a parameter hang on its name alone, not on what else the model has. */
static uint32_t name_key(const char *name)
{
    char hex[33];
    mo_hash_bytes(name, strlen(name), hex);
    hex[8] = '\0';
    return (uint32_t)strtoul(hex, NULL, 16);
}

enum { DRAWN = 256 }; /* elements at a time */

/* Elements first .. first + n of a parameter, n <= DRAWN; w is where the first one goes. */
static void draw(const mo_param *p, uint64_t seed, uint32_t key, int64_t first, int64_t n, mo_real *w)
{
    double z[DRAWN], scale = p->init == MO_INIT_ONE ? 1 : p->init_std;
    if (p->init == MO_INIT_NORMAL) mo_rng_normals(seed, MO_RNG_INIT, 0, key, (uint64_t)first, n, z);
    for (int64_t j = 0; j < n && p->init != MO_INIT_NORMAL; j++)
        z[j] = p->init == MO_INIT_UNIFORM
                   ? 2 * mo_rng_uniform(seed, MO_RNG_INIT, 0, key, (uint64_t)(first + j)) - 1
                   : p->init == MO_INIT_ONE;
    for (int64_t j = 0; j < n; j++) w[j] = (mo_real)(scale * z[j]);
}

void mo_model_init(mo_model *m, uint64_t seed)
{
    for (int i = 0; i < m->n_params; i++) {
        const mo_param *p = &m->params[i];
        if (p->stored) continue;
        mo_real *w = m->value + p->offset;
        uint32_t key = name_key(p->name);
#pragma omp parallel for schedule(static)
        for (int64_t j = 0; j < p->count; j += DRAWN)
            draw(p, seed, key, j, p->count - j < DRAWN ? p->count - j : DRAWN, w + j);
    }
}
