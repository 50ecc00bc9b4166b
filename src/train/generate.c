/* generate.c -- text from a model: prompts are read, then tokens drawn, one of each sequence at a time. */
#include <string.h>

#include "train/decoder.h"
#include "train/sampler.h"
#include "train/train_internal.h"

/* ---- a context that grows ---- */

struct mo_generator {
    const mo_model *model;
    mo__decoder *decoder; /* of one sequence */
    mo__sampler *sampler;
    const mo_real *logits; /* after the last token that was read */
};

mo_status mo_generator_create(const mo_model *model, int64_t capacity, mo_generator **out)
{
    int64_t longest = model->config.max_position_embeddings;
    *out = NULL;
    mo_generator *g = mo_calloc(1, sizeof *g);
    if (!g) return MO_E_MEMORY;
    g->model = model;
    mo_status status = mo__sampler_create(model->config.vocab_size, &g->sampler);
    if (status == MO_OK)
        status = mo__decoder_create(model, 1, capacity > 0 && capacity < longest ? capacity : longest,
                                    &g->decoder);
    if (status == MO_OK)
        *out = g;
    else
        mo_generator_free(g);
    return status;
}

void mo_generator_free(mo_generator *g)
{
    if (!g) return;
    mo__decoder_free(g->decoder);
    mo__sampler_free(g->sampler);
    mo_free(g);
}

int64_t mo_generator_capacity(const mo_generator *g)
{
    return mo__decoder_capacity(g->decoder);
}

int64_t mo_generator_length(const mo_generator *g)
{
    return mo__decoder_length(g->decoder, 0);
}

void mo_generator_clear(mo_generator *g)
{
    mo__decoder_clear(g->decoder, 0);
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
    int64_t length = mo_generator_length(g), capacity = mo_generator_capacity(g);
    MO_TRY(check_ids(g->model, ids, count));
    if (count > capacity - length)
        return mo_error(MO_E_RANGE, "generate: %lld tokens after %lld, and the context holds %lld",
                        (long long)count, (long long)length, (long long)capacity);
    return count > 0 ? mo__decoder_read(g->decoder, 0, ids, count, &g->logits) : MO_OK;
}

/* The token at `place` of text `number`. */
static int32_t draw(mo__sampler *sampler, const mo_real *logits, const mo_sampling *s, uint64_t place,
                    uint64_t number)
{
    double u = mo_rng_uniform(s->seed, MO_RNG_SAMPLE, place, 0, number);
    return mo__sample(sampler, logits, s->temperature, s->top_k, s->top_p, u);
}

int32_t mo_generator_draw(mo_generator *g, const mo_sampling *s, uint64_t place)
{
    return draw(g->sampler, g->logits, s, place, 0);
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

/* ---- prompts ---- */

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

/* ---- texts side by side ---- */

typedef struct text {
    int64_t number, made; /* which prompt; tokens drawn */
    int32_t id;           /* the last one, which is not read yet */
} text;

typedef struct batch {
    const mo_model *model;
    const mo_generate_batch_options *options;
    mo__decoder *decoder;
    mo__sampler *samplers[MO_GENERATE_MOST];
    int64_t slots, next;                    /* the next prompt to begin */
    int64_t active, slot[MO_GENERATE_MOST]; /* those that go on: slot[0 .. active) */
    text texts[MO_GENERATE_MOST];           /* by slot */
    bool stopped;
} batch;

/* Tells the token just drawn; whether the text goes on. */
static bool told(batch *b, text *t)
{
    const mo_generate_batch_options *o = b->options;
    mo_emitted after = o->emit(t->number, t->id, o->user);
    b->stopped = b->stopped || after == MO_EMITTED_STOP;
    if (after == MO_EMITTED_GO_ON && ++t->made < o->max_tokens) return true;
    if (o->end && !b->stopped) o->end(t->number, o->user);
    return false;
}

/* Reads the next prompt into a slot and draws its first token. */
static mo_status begin_text(batch *b, int64_t slot)
{
    const mo_generate_batch_options *o = b->options;
    const mo_prompt *p = &o->prompts[b->next];
    int64_t capacity = mo__decoder_capacity(b->decoder), kept = p->count < capacity ? p->count : capacity;
    const mo_real *logits;
    text *t = &b->texts[slot];
    *t = (text){.number = b->next++};
    mo__decoder_clear(b->decoder, slot);
    MO_TRY(mo__decoder_read(b->decoder, slot, p->ids + p->count - kept, kept, &logits));
    t->id = draw(b->samplers[slot], logits, &o->sampling, 0, (uint64_t)t->number);
    if (told(b, t)) b->slot[b->active++] = slot;
    return MO_OK;
}

static int64_t free_slot(const batch *b)
{
    bool taken[MO_GENERATE_MOST] = {false};
    int64_t slot = 0;
    for (int64_t i = 0; i < b->active; i++) taken[b->slot[i]] = true;
    while (taken[slot]) slot++;
    return slot;
}

/* A token of each text; those that end leave their slots. */
static mo_status go_on(batch *b)
{
    const mo_generate_batch_options *o = b->options;
    int64_t count = b->active;
    int32_t ids[MO_GENERATE_MOST];
    const mo_real *logits[MO_GENERATE_MOST];
    for (int64_t i = 0; i < count; i++) ids[i] = b->texts[b->slot[i]].id;
    MO_TRY(mo__decoder_step(b->decoder, count, b->slot, ids, logits));
#pragma omp parallel for schedule(dynamic, 1) if (count > 1)
    for (int64_t i = 0; i < count; i++) {
        text *t = &b->texts[b->slot[i]];
        t->id =
            draw(b->samplers[b->slot[i]], logits[i], &o->sampling, (uint64_t)t->made, (uint64_t)t->number);
    }
    b->active = 0;
    for (int64_t i = 0; i < count && !b->stopped; i++)
        if (told(b, &b->texts[b->slot[i]])) b->slot[b->active++] = b->slot[i];
    return MO_OK;
}

static mo_status generate(batch *b)
{
    const mo_generate_batch_options *o = b->options;
    while (!b->stopped) {
        while (b->active < b->slots && b->next < o->n_prompts && !b->stopped)
            MO_TRY(begin_text(b, free_slot(b)));
        if (b->active == 0 || b->stopped) break;
        MO_TRY(go_on(b));
    }
    return MO_OK;
}

/* No more than the longest text can come to: a model that is for very long ones takes no memory for a short
 * one. */
static int64_t capacity_for(const mo_model *model, const mo_generate_batch_options *o)
{
    int64_t longest = model->config.max_position_embeddings, capacity = 1;
    for (int64_t i = 0; i < o->n_prompts; i++) {
        int64_t count = o->prompts[i].count;
        bool fits = count < longest && o->max_tokens < longest - count;
        int64_t needed = fits ? count + o->max_tokens : longest;
        if (needed > capacity) capacity = needed;
    }
    return capacity;
}

static mo_status check_batch(const mo_model *model, const mo_generate_batch_options *o)
{
    if (o->slots < 0 || o->slots > MO_GENERATE_MOST)
        return mo_error(MO_E_RANGE, "generate: %lld texts at once; expected 1 to %d, or 0 for the most",
                        (long long)o->slots, MO_GENERATE_MOST);
    for (int64_t i = 0; i < o->n_prompts; i++) {
        if (o->prompts[i].count < 1)
            return mo_error(MO_E_RANGE, "generate: the prompt is empty; it needs at least one token");
        MO_TRY(check_ids(model, o->prompts[i].ids, o->prompts[i].count));
    }
    return mo_sampling_check(&o->sampling);
}

mo_status mo_generate_batch(const mo_model *model, const mo_generate_batch_options *o)
{
    MO_TRY(check_batch(model, o));
    batch b = {.model = model, .options = o, .slots = o->slots > 0 ? o->slots : MO_GENERATE_MOST};
    if (b.slots > o->n_prompts) b.slots = o->n_prompts;
    for (int64_t i = 0; o->max_tokens == 0 && o->end && i < o->n_prompts; i++) o->end(i, o->user);
    if (b.slots == 0 || o->max_tokens == 0) return MO_OK;
    mo_status status = mo__decoder_create(model, b.slots, capacity_for(model, o), &b.decoder);
    for (int64_t i = 0; status == MO_OK && i < b.slots; i++)
        status = mo__sampler_create(model->config.vocab_size, &b.samplers[i]);
    if (status == MO_OK) status = generate(&b);
    for (int64_t i = 0; i < b.slots; i++) mo__sampler_free(b.samplers[i]);
    mo__decoder_free(b.decoder);
    return status;
}

/* ---- one text ---- */

static mo_emitted emit_one(int64_t prompt, int32_t id, void *user)
{
    const mo_generate_options *o = user;
    (void)prompt;
    return o->emit(id, o->user) ? MO_EMITTED_GO_ON : MO_EMITTED_STOP;
}

mo_status mo_generate(const mo_model *model, const mo_generate_options *o)
{
    mo_generate_options copy = *o;
    const mo_prompt prompt = {o->prompt, o->prompt_count};
    return mo_generate_batch(
        model, &(mo_generate_batch_options){.prompts = &prompt,
                                            .n_prompts = 1,
                                            .slots = 1,
                                            .max_tokens = o->max_tokens,
                                            .sampling = {o->temperature, o->top_k, o->top_p, o->seed},
                                            .emit = emit_one,
                                            .user = &copy});
}
