/* trainer_sample.c -- text that a run generates on its way. */
#include <string.h>

#include "train/trainer.h"

typedef struct text_buffer {
    int32_t *ids;
    int64_t count;
    int32_t eos; /* where a text ends, -1 if nowhere */
} text_buffer;

static bool collect(int32_t id, void *user)
{
    text_buffer *b = user;
    if (id == b->eos) return false;
    b->ids[b->count++] = id;
    return true;
}

/* Generates, decodes, tells and stores; the prompt is part of the text. */
static mo_status sample_into(mo__trainer *t, text_buffer *b, const int32_t *prompt, int64_t prompt_count)
{
    const mo_run_config *c = &t->config;
    memcpy(b->ids, prompt, (size_t)prompt_count * sizeof *prompt);
    b->count = prompt_count;
    mo_generate_options options = {.prompt = prompt,
                                   .prompt_count = prompt_count,
                                   .max_tokens = c->sample.tokens,
                                   .temperature = c->sample.temperature,
                                   .top_p = 1,
                                   .seed = c->run.seed + (uint64_t)t->state.step,
                                   .emit = collect,
                                   .user = b};
    MO_TRY(mo_generate(t->model, &options));
    char *text = NULL;
    size_t size = 0;
    MO_TRY(mo_tokenizer_decode(t->tokenizer, b->ids, b->count, &text, &size));
    const mo_train_events *e = &t->options->events;
    if (e->sample) e->sample(t->state.step, text, size, e->user);
    mo_status status = mo__samples_append(t->dir, t->state.step, text, size);
    if (status == MO_OK) status = mo__events_text(&t->events, t->state.step, "samples", text, size);
    mo_free(text);
    return status;
}

/* Without a prompt the begin of a document, or, where the tokenizer has no token for it, of a line. */
mo_status mo__trainer_sample(mo__trainer *t)
{
    const char *prompt = t->config.sample.prompt;
    int32_t *ids = NULL;
    int64_t count = 0;
    if (!*prompt && mo_tokenizer_bos(t->tokenizer) < 0) prompt = "\n";
    MO_TRY(mo_generate_prompt(t->tokenizer, prompt, strlen(prompt), &ids, &count));
    text_buffer b = {mo_malloc((size_t)(count + t->config.sample.tokens) * sizeof(int32_t)), 0,
                     mo_tokenizer_eos(t->tokenizer)};
    mo_status status = b.ids ? sample_into(t, &b, ids, count) : MO_E_MEMORY;
    mo_free(b.ids);
    mo_free(ids);
    return status;
}
