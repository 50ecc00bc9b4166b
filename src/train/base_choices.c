/* base_choices.c -- routing drift against choices that were kept:
 *   drift_l = mean over tokens of 1 - |A and B| / max(|A|, |B|)
 * with A the experts that the base gives a token in layer l and B the model's, before capacity: where all
 * tokens have K experts, the share of the choices that the base did not make.
 *
 * Threads: a layer's sum is one thread's, in the order of its tokens. */
#include "train/base_choices.h"

#include <string.h>

#include "train/routing_drift.h"

static int bytes_of_id(int64_t experts)
{
    return experts <= UINT8_MAX ? 1 : experts <= UINT16_MAX ? 2 : 4;
}

uint64_t mo__base_choices_bytes(const mo_run_config *c, const mo_model_config *k, uint64_t tokens)
{
    if (!*c->init.from || k->num_local_experts == 0) return 0;
    bool all = k->router == MO_ROUTER_EXPERT_CHOICE || k->router == MO_ROUTER_SOFT;
    int64_t of_token = all ? k->num_local_experts : k->num_experts_per_tok;
    uint64_t batch = (uint64_t)(c->train.batch_size * c->train.sequence_length);
    uint64_t token = (uint64_t)(mo_model_config_moe_layers(k) * of_token * bytes_of_id(k->num_local_experts));
    uint64_t evaluated = (uint64_t)c->eval.batches * batch;
    uint64_t most = (c->eval.batches > 0 && evaluated < tokens ? evaluated : tokens) + batch;
    return most < MO__BASE_CHOICES_BYTES / token ? most * token : MO__BASE_CHOICES_BYTES;
}

mo_status mo__base_choices_create(const mo_model_graph *t, int n_sources, mo__base_choices *out)
{
    *out = (mo__base_choices){.n_layers = t->n_routing, .n_sources = n_sources};
    if (t->n_routing == 0) return MO_OK;
    const mo_tensor *ids = t->routing[0].ids_NK;
    out->experts = t->model->config.num_local_experts;
    out->rows = ids->dim[0];
    out->per_token = ids->dim[1];
    out->id_bytes = bytes_of_id(out->experts);
    int64_t batch = out->n_layers * out->rows * out->per_token * out->id_bytes;
    out->most = MO__BASE_CHOICES_BYTES / n_sources / batch;
    if (out->most < 1) out->most = 1;
    out->sources = mo_calloc((size_t)n_sources, sizeof *out->sources);
    out->sums = mo_calloc((size_t)t->n_routing, sizeof *out->sums);
    out->drift = mo_calloc((size_t)t->n_routing, sizeof *out->drift);
    if (out->sources && out->sums && out->drift) return MO_OK;
    mo__base_choices_free(out);
    return MO_E_MEMORY;
}

void mo__base_choices_free(mo__base_choices *b)
{
    for (int s = 0; b->sources && s < b->n_sources; s++) {
        for (int64_t i = 0; i < b->sources[s].count; i++) mo_free(b->sources[s].at[i]);
        mo_free(b->sources[s].at);
    }
    mo_free(b->sources);
    mo_free(b->sums);
    mo_free(b->drift);
    *b = (mo__base_choices){0};
}

/* ---- ids in few bytes; no choice (-1) is the largest number ---- */

static void pack(const int32_t *ids, int64_t count, int id_bytes, void *out)
{
    uint8_t *one = out;
    uint16_t *two = out;
    if (id_bytes == 4) memcpy(out, ids, (size_t)count * sizeof *ids);
    for (int64_t i = 0; i < count && id_bytes == 1; i++) one[i] = (uint8_t)ids[i];
    for (int64_t i = 0; i < count && id_bytes == 2; i++) two[i] = (uint16_t)ids[i];
}

static int32_t unpack(const void *packed, int64_t i, int id_bytes)
{
    if (id_bytes == 4) return ((const int32_t *)packed)[i];
    int32_t id = id_bytes == 1 ? ((const uint8_t *)packed)[i] : ((const uint16_t *)packed)[i];
    return id == (id_bytes == 1 ? UINT8_MAX : UINT16_MAX) ? -1 : id;
}

/* ---- recording ---- */

static mo_status grow(mo__kept_batches *k)
{
    if (k->count < k->room) return MO_OK;
    int64_t room = k->room > 0 ? 2 * k->room : 64;
    void **at = mo_realloc(k->at, (size_t)room * sizeof *at);
    if (!at) return MO_E_MEMORY;
    k->at = at;
    k->room = room;
    return MO_OK;
}

static mo_status record(mo__base_choices *b, const mo_model_graph *t)
{
    mo__kept_batches *k = &b->sources[b->source];
    size_t layer = (size_t)(b->rows * b->per_token * b->id_bytes);
    b->batches++;
    if (b->next++ >= b->most) return MO_OK;
    MO_TRY(grow(k));
    char *ids = mo_malloc((size_t)b->n_layers * layer);
    if (!ids) return MO_E_MEMORY;
    k->at[k->count++] = ids;
    for (int l = 0; l < b->n_layers; l++)
        pack(t->routing[l].ids_NK->data, b->rows * b->per_token, b->id_bytes, ids + (size_t)l * layer);
    return MO_OK;
}

void mo__base_choices_recorded(mo__base_choices *b)
{
    int64_t kept = 0;
    for (int s = 0; b->n_layers > 0 && s < b->n_sources; s++) kept += b->sources[s].count;
    b->recorded = true;
    if (kept < b->batches)
        mo_log(MO_LOG_INFO,
               "routing drift against the base is of %lld of the %lld batches of an evaluation: the base's "
               "choices are kept up to %d MiB",
               (long long)kept, (long long)b->batches, MO__BASE_CHOICES_BYTES >> 20);
}

/* ---- comparing ---- */

/* 1 - |A and B| / max(|A|, |B|) of token n */
static double changed(const mo__base_choices *b, const void *kept, const int32_t *ids, int64_t n)
{
    int64_t K = b->per_token, both = 0, was = 0, is = 0;
    for (int64_t j = 0; j < K; j++) is += ids[n * K + j] >= 0;
    for (int64_t i = 0; i < K; i++) {
        int32_t id = unpack(kept, n * K + i, b->id_bytes);
        was += id >= 0;
        for (int64_t j = 0; id >= 0 && j < K; j++) both += ids[n * K + j] == id;
    }
    return mo__share_changed(was, is, both);
}

static void compare(mo__base_choices *b, const mo_model_graph *t, const int32_t *tokens)
{
    const mo__kept_batches *k = &b->sources[b->source];
    if (b->next >= k->count) return;
    const char *kept = k->at[b->next++];
    int64_t layer = b->rows * b->per_token * b->id_bytes;
    for (int64_t n = 0; n < b->rows; n++) b->tokens += tokens[n] >= 0;
#pragma omp parallel for schedule(static)
    for (int l = 0; l < b->n_layers; l++)
        for (int64_t n = 0; n < b->rows; n++)
            if (tokens[n] >= 0) b->sums[l] += changed(b, kept + l * layer, t->routing[l].ids_NK->data, n);
}

void mo__base_choices_begin(mo__base_choices *b)
{
    for (int l = 0; l < b->n_layers; l++) b->sums[l] = 0;
    b->tokens = 0;
}

void mo__base_choices_source(mo__base_choices *b, int source)
{
    b->source = source;
    b->next = 0;
}

mo_status mo__base_choices_add(mo__base_choices *b, const mo_model_graph *t, const int32_t *tokens)
{
    if (b->n_layers == 0) return MO_OK;
    if (!b->recorded) return record(b, t);
    compare(b, t, tokens);
    return MO_OK;
}

void mo__base_choices_finish(mo__base_choices *b)
{
    b->mean = 0;
    for (int l = 0; l < b->n_layers; l++) {
        b->drift[l] = b->tokens > 0 ? b->sums[l] / (double)b->tokens : 0;
        b->mean += b->drift[l] / b->n_layers;
    }
}
