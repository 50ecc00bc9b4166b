/* generate.c -- text from a model: the prompt in chunks, then token by token, keys and values cached.
 *
 * Two graphs share the caches: one takes CHUNK tokens of the prompt at once, one a single token. When the
 * cache is full, the newer half of the context is read again and generation goes on from there. */
#include <string.h>

#include "train/sampler.h"
#include "train/train_internal.h"

enum { CHUNK = 32 };

typedef struct generator {
    const mo_model *model;
    mo_model_graph *chunk, *single; /* chunk: NULL if the context is shorter than CHUNK */
    mo_kv_cache *caches;            /* per layer */
    mo_real *storage;
    int32_t *context; /* tokens in the cache, then those to come: capacity */
    mo__candidate *work;
    int64_t capacity, length;
} generator;

static mo_status make_graph(generator *g, int64_t tokens, mo_model_graph **out)
{
    mo_model_graph_options options = {
        .kind = MO_GRAPH_DECODE, .batch_size = 1, .sequence_length = tokens, .caches = g->caches};
    MO_TRY(mo_model_graph_create(g->model, &options, out));
    MO_TRY(mo_graph_bind((*out)->graph, NULL));
    mo_model_graph_attach(*out);
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

static mo_status start(generator *g, const mo_model *model, const mo_generate_options *o)
{
    const mo_model_config *c = &model->config;
    int64_t layers = c->num_hidden_layers, width = c->num_key_value_heads * c->head_dim;
    g->model = model;
    g->capacity = capacity_for(model, o);
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

static void finish(generator *g)
{
    mo_model_graph_free(g->chunk);
    mo_model_graph_free(g->single);
    mo_free(g->caches);
    mo_free(g->storage);
    mo_free(g->context);
    mo_free(g->work);
}

/* Runs the next `count` tokens of the context; returns the logits of the last. */
static const mo_real *advance(generator *g, mo_model_graph *t, int64_t count)
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
    return (const mo_real *)t->logits->data + (count - 1) * g->model->config.vocab_size;
}

static const mo_real *read_context(generator *g, int64_t upto)
{
    const mo_real *logits = NULL;
    while (g->length < upto)
        logits =
            g->chunk && upto - g->length >= CHUNK ? advance(g, g->chunk, CHUNK) : advance(g, g->single, 1);
    return logits;
}

/* Appends a token; a full context keeps its newer half. */
static const mo_real *push(generator *g, int32_t id)
{
    if (g->length == g->capacity) {
        int64_t kept = g->capacity / 2;
        memmove(g->context, g->context + g->capacity - kept, (size_t)kept * sizeof *g->context);
        g->length = 0;
        g->context[kept] = id;
        return read_context(g, kept + 1);
    }
    g->context[g->length] = id;
    return read_context(g, g->length + 1);
}

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

static mo_status check(const mo_model *model, const mo_generate_options *o)
{
    if (o->prompt_count < 1)
        return mo_error(MO_E_RANGE, "generate: the prompt is empty; it needs at least one token");
    for (int64_t i = 0; i < o->prompt_count; i++)
        if (o->prompt[i] < 0 || o->prompt[i] >= model->config.vocab_size)
            return mo_error(MO_E_RANGE, "generate: token %lld of the prompt is id %d; ids are 0 to %lld",
                            (long long)i, o->prompt[i], (long long)model->config.vocab_size - 1);
    if (!(o->temperature >= 0) || !(o->top_p > 0 && o->top_p <= 1) || o->top_k < 0)
        return mo_error(MO_E_RANGE,
                        "generate: temperature %g, top-p %g, top-k %lld; expected at least 0, in (0, 1], "
                        "at least 0",
                        o->temperature, o->top_p, (long long)o->top_k);
    return MO_OK;
}

static void generate(generator *g, const mo_generate_options *o)
{
    int64_t kept = o->prompt_count < g->capacity ? o->prompt_count : g->capacity;
    memcpy(g->context, o->prompt + o->prompt_count - kept, (size_t)kept * sizeof *g->context);
    const mo_real *logits = read_context(g, kept);
    for (int64_t i = 0; i < o->max_tokens; i++) {
        double u = mo_rng_uniform(o->seed, MO_RNG_SAMPLE, (uint64_t)i, 0, 0);
        int32_t id =
            mo__sample(logits, g->model->config.vocab_size, o->temperature, o->top_k, o->top_p, u, g->work);
        if (!o->emit(id, o->user)) return;
        if (i + 1 < o->max_tokens) logits = push(g, id);
    }
}

mo_status mo_generate(const mo_model *model, const mo_generate_options *o)
{
    MO_TRY(check(model, o));
    MO_TRY(mo_blas_init());
    generator g = {0};
    mo_status status = start(&g, model, o);
    if (status == MO_OK) generate(&g, o);
    finish(&g);
    return status;
}
