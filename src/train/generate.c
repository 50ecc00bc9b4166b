/* generate.c -- text from a model: tokens are read in chunks, then drawn one by one, keys and values cached.
 *
 * Two graphs share the caches: one takes CHUNK tokens at once, one a single token. mo_generate, whose cache
 * may fill up, then reads the newer half of the context again and goes on from there. */
#include <string.h>

#include "train/sampler.h"
#include "train/train_internal.h"

enum { CHUNK = 32 };

struct mo_generator {
    const mo_model *model;
    mo_model_graph *chunk, *single; /* chunk: NULL if the context is shorter than CHUNK */
    mo_kv_cache *caches;            /* per layer */
    mo_real *storage;
    int32_t *context; /* tokens in the cache, then those to come: capacity */
    mo__candidate *work;
    int64_t capacity, length;
    const mo_real *logits; /* after the last token that was read */
};

static mo_status make_graph(mo_generator *g, int64_t tokens, mo_model_graph **out)
{
    mo_model_graph_options options = {
        .kind = MO_GRAPH_DECODE, .batch_size = 1, .sequence_length = tokens, .caches = g->caches};
    MO_TRY(mo_model_graph_create(g->model, &options, out));
    MO_TRY(mo_graph_bind((*out)->graph, NULL));
    mo_model_graph_attach(*out);
    return MO_OK;
}

static mo_status start(mo_generator *g, const mo_model *model, int64_t capacity)
{
    const mo_model_config *c = &model->config;
    int64_t layers = c->num_hidden_layers, width = c->num_key_value_heads * c->head_dim;
    g->model = model;
    g->capacity = capacity;
    g->caches = mo_calloc((size_t)layers, sizeof *g->caches);
    g->storage = mo_malloc((size_t)(layers * 2 * g->capacity * width) * sizeof *g->storage);
    g->context = mo_malloc((size_t)g->capacity * sizeof *g->context);
    g->work = mo_malloc((size_t)c->vocab_size * sizeof *g->work);
    if (!g->caches || !g->storage || !g->context || !g->work) return MO_E_MEMORY;
    for (int64_t l = 0; l < layers; l++) {
        mo_real *k = g->storage + l * 2 * g->capacity * width;
        g->caches[l] = (mo_kv_cache){k, k + g->capacity * width, g->capacity, 0};
    }
    if (g->capacity >= CHUNK) MO_TRY(make_graph(g, CHUNK, &g->chunk));
    return make_graph(g, 1, &g->single);
}

mo_status mo_generator_create(const mo_model *model, int64_t capacity, mo_generator **out)
{
    int64_t longest = model->config.max_position_embeddings;
    *out = NULL;
    MO_TRY(mo_blas_init());
    mo_generator *g = mo_calloc(1, sizeof *g);
    if (!g) return MO_E_MEMORY;
    mo_status status = start(g, model, capacity > 0 && capacity < longest ? capacity : longest);
    if (status == MO_OK)
        *out = g;
    else
        mo_generator_free(g);
    return status;
}

void mo_generator_free(mo_generator *g)
{
    if (!g) return;
    mo_model_graph_free(g->chunk);
    mo_model_graph_free(g->single);
    mo_free(g->caches);
    mo_free(g->storage);
    mo_free(g->context);
    mo_free(g->work);
    mo_free(g);
}

/* Runs the next `count` tokens of the context. */
static void advance(mo_generator *g, mo_model_graph *t, int64_t count)
{
    int32_t *tokens = t->tokens->data, *positions = t->positions->data, *starts = t->starts->data;
    for (int64_t i = 0; i < count; i++) {
        tokens[i] = g->context[g->length + i];
        positions[i] = (int32_t)(g->length + i);
        starts[i] = 0;
    }
    for (int64_t l = 0; l < g->model->config.num_hidden_layers; l++) g->caches[l].length = g->length;
    mo_run run = {.training = false};
    mo_graph_forward(t->graph, &run);
    g->length += count;
    g->logits = (const mo_real *)t->logits->data + (count - 1) * g->model->config.vocab_size;
}

static void read_context(mo_generator *g, int64_t upto)
{
    while (g->length < upto) {
        bool chunk = g->chunk && upto - g->length >= CHUNK;
        advance(g, chunk ? g->chunk : g->single, chunk ? CHUNK : 1);
    }
}

/* ---- a context that grows ---- */

int64_t mo_generator_capacity(const mo_generator *g)
{
    return g->capacity;
}

int64_t mo_generator_length(const mo_generator *g)
{
    return g->length;
}

void mo_generator_clear(mo_generator *g)
{
    g->length = 0;
    g->logits = NULL;
}

static mo_status check_ids(const mo_model *model, const int32_t *ids, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        if (ids[i] < 0 || ids[i] >= model->config.vocab_size)
            return mo_error(MO_E_RANGE, "generate: token %lld of the prompt is id %d; ids are 0 to %lld",
                            (long long)i, ids[i], (long long)model->config.vocab_size - 1);
    return MO_OK;
}

mo_status mo_generator_read(mo_generator *g, const int32_t *ids, int64_t count)
{
    MO_TRY(check_ids(g->model, ids, count));
    if (count > g->capacity - g->length)
        return mo_error(MO_E_RANGE, "generate: %lld tokens after %lld, and the context holds %lld",
                        (long long)count, (long long)g->length, (long long)g->capacity);
    if (count) memcpy(g->context + g->length, ids, (size_t)count * sizeof *ids);
    read_context(g, g->length + count);
    return MO_OK;
}

int32_t mo_generator_draw(mo_generator *g, const mo_sampling *s, uint64_t place)
{
    double u = mo_rng_uniform(s->seed, MO_RNG_SAMPLE, place, 0, 0);
    return mo__sample(g->logits, g->model->config.vocab_size, s->temperature, s->top_k, s->top_p, u, g->work);
}

mo_status mo_sampling_check(const mo_sampling *s)
{
    if (!(s->temperature >= 0) || !(s->top_p > 0 && s->top_p <= 1) || s->top_k < 0)
        return mo_error(MO_E_RANGE,
                        "generate: temperature %g, top-p %g, top-k %lld; expected at least 0, in (0, 1], "
                        "at least 0",
                        s->temperature, s->top_p, (long long)s->top_k);
    return MO_OK;
}

/* ---- a prompt and what comes after it ---- */

mo_status mo_generate_prompt(const mo_tokenizer *t, const char *text, size_t size, int32_t **ids,
                             int64_t *count)
{
    int32_t bos = mo_tokenizer_bos(t), *encoded;
    int64_t begin = bos >= 0, n;
    *ids = NULL;
    *count = 0;
    MO_TRY(mo_tokenizer_encode(t, text, size, &encoded, &n));
    if (begin + n > 0 && (*ids = mo_malloc((size_t)(begin + n) * sizeof **ids))) {
        if (begin) (*ids)[0] = bos;
        if (n) memcpy(*ids + begin, encoded, (size_t)n * sizeof *encoded);
        *count = begin + n;
    }
    mo_free(encoded);
    if (begin + n == 0)
        return mo_error(MO_E_RANGE, "generate: the prompt is empty; it needs at least one token");
    return *ids ? MO_OK : MO_E_MEMORY;
}

/* Reads a token; a full context keeps its newer half. */
static mo_status push(mo_generator *g, int32_t id)
{
    if (g->length == g->capacity) {
        int64_t kept = g->capacity / 2;
        memmove(g->context, g->context + g->capacity - kept, (size_t)kept * sizeof *g->context);
        mo_generator_clear(g);
        g->context[kept] = id;
        read_context(g, kept + 1);
        return MO_OK;
    }
    return mo_generator_read(g, &id, 1);
}

static mo_status generate(mo_generator *g, const mo_generate_options *o)
{
    int64_t kept = o->prompt_count < g->capacity ? o->prompt_count : g->capacity;
    mo_sampling sampling = {o->temperature, o->top_k, o->top_p, o->seed};
    MO_TRY(mo_generator_read(g, o->prompt + o->prompt_count - kept, kept));
    for (int64_t i = 0; i < o->max_tokens; i++) {
        int32_t id = mo_generator_draw(g, &sampling, (uint64_t)i);
        if (!o->emit(id, o->user)) return MO_OK;
        if (i + 1 < o->max_tokens) MO_TRY(push(g, id));
    }
    return MO_OK;
}

/* No more than the text can come to: a model that is for very long ones takes no memory for a short one. */
static int64_t capacity_for(const mo_model *model, const mo_generate_options *o)
{
    int64_t longest = model->config.max_position_embeddings;
    return o->prompt_count < longest && o->max_tokens < longest - o->prompt_count
               ? o->prompt_count + o->max_tokens
               : longest;
}

mo_status mo_generate(const mo_model *model, const mo_generate_options *o)
{
    mo_generator *g;
    if (o->prompt_count < 1)
        return mo_error(MO_E_RANGE, "generate: the prompt is empty; it needs at least one token");
    MO_TRY(check_ids(model, o->prompt, o->prompt_count));
    MO_TRY(mo_sampling_check(&(mo_sampling){o->temperature, o->top_k, o->top_p, o->seed}));
    MO_TRY(mo_generator_create(model, capacity_for(model, o), &g));
    mo_status status = generate(g, o);
    mo_generator_free(g);
    return status;
}
