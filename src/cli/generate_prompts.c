/* generate_prompts.c -- texts that end in any order, shown in that of their prompts. */
#include "generate_prompts.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/utf8.h"
#include "json_out.h"
#include "session.h"

/* What the model added to a prompt. */
typedef struct added {
    int32_t *ids;
    int64_t count, room;
    bool ended, by_model;
} added;

typedef struct output {
    const mo_trained *trained;
    const mo__prompts *prompts;
    const mo__prompts_choices *choices;
    added *texts;  /* by prompt */
    int64_t shown; /* texts */
    int32_t eos;
    bool terminal; /* stdout is one */
    bool gone;     /* nobody reads it any more */
    mo_status status;
} output;

/* ---- a text ---- */

typedef struct buffer {
    char *text;
    size_t size, room;
} buffer;

static mo_status append(buffer *b, const char *text, size_t size)
{
    if (b->room - b->size <= size) {
        size_t room = 2 * (b->size + size) + 256;
        char *grown = mo_realloc(b->text, room);
        if (!grown) return MO_E_MEMORY;
        b->text = grown;
        b->room = room;
    }
    memcpy(b->text + b->size, text, size);
    b->size += size;
    b->text[b->size] = '\0';
    return MO_OK;
}

static mo_status decode_ids(mo_tokenizer_stream *s, int64_t vocab_size, const int32_t *ids, int64_t count,
                            buffer *out)
{
    for (int64_t i = 0; i < count; i++) {
        size_t size = 0;
        if (ids[i] >= vocab_size) continue; /* a model may have more */
        const char *text = mo_tokenizer_stream_next(s, ids[i], &size);
        MO_TRY(append(out, text, size));
    }
    return MO_OK;
}

/* Prompt and what was added, as one text: added->text[*begin ..] is what was added. */
static mo_status decode(const output *o, int64_t i, buffer *out, size_t *begin)
{
    const mo_tokenizer *t = o->trained->tokenizer;
    const mo_prompt *prompt = &o->prompts->ids[i];
    int64_t vocab_size = mo_tokenizer_vocab_size(t);
    mo_tokenizer_stream *s;
    size_t rest = 0;
    MO_TRY(append(out, "", 0));
    MO_TRY(mo_tokenizer_stream_open(t, &s));
    mo_status status = decode_ids(s, vocab_size, prompt->ids, prompt->count, out);
    *begin = out->size;
    if (status == MO_OK) status = decode_ids(s, vocab_size, o->texts[i].ids, o->texts[i].count, out);
    const char *text = mo_tokenizer_stream_end(s, &rest);
    if (status == MO_OK) status = append(out, text, rest);
    mo_tokenizer_stream_close(s);
    return status;
}

/* ---- for people ---- */

static void show_ids(const int32_t *ids, int64_t count, bool begun)
{
    for (int64_t i = 0; i < count; i++) printf("%s%d", begun || i > 0 ? " " : "", ids[i]);
}

static mo_status show_text(const output *o, int64_t i)
{
    buffer b = {0};
    size_t begin;
    printf("--- prompt %lld ---\n", (long long)i + 1);
    if (o->choices->tokens) {
        show_ids(o->prompts->ids[i].ids, o->prompts->ids[i].count, false);
        show_ids(o->texts[i].ids, o->texts[i].count, true);
        putchar('\n');
        return MO_OK;
    }
    mo_status status = decode(o, i, &b, &begin);
    char *shown = status == MO_OK && o->terminal ? mo__printable(b.text, b.size) : NULL;
    if (status == MO_OK && o->terminal && !shown) status = MO_E_MEMORY;
    if (status == MO_OK && shown)
        puts(shown);
    else if (status == MO_OK) {
        fwrite(b.text, 1, b.size, stdout);
        putchar('\n');
    }
    mo_free(shown);
    mo_free(b.text);
    return status;
}

/* ---- for programs ---- */

/* Bytes that are not UTF-8 become U+FFFD, and so does NUL. */
static json_t *text_json(char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (text[i] == '\0') text[i] = '\xff';
    return mo__json_text(text);
}

static json_t *ids_json(const added *t)
{
    json_t *ids = json_array();
    for (int64_t i = 0; i < t->count; i++) mo__json_add(ids, mo__json_integer(t->ids[i]));
    return ids;
}

static mo_status show_object(const output *o, int64_t i)
{
    const added *t = &o->texts[i];
    const mo__prompt_line *line = &o->prompts->at[i];
    buffer prompt = {0}, b = {0};
    size_t begin = 0;
    mo_status status = append(&prompt, line->text, line->size);
    if (status == MO_OK && !o->choices->tokens) status = decode(o, i, &b, &begin);
    if (status == MO_OK) {
        json_t *root = json_object();
        mo__json_set(root, "prompt", text_json(prompt.text, prompt.size));
        if (o->choices->tokens)
            mo__json_set(root, "ids", ids_json(t));
        else
            mo__json_set(root, "text", text_json(b.text + begin, b.size - begin));
        mo__json_set(root, "tokens", mo__json_integer(t->count));
        mo__json_set(root, "end", json_string(t->by_model ? "model" : "max-tokens"));
        char *dumped = json_dumps(root, JSON_COMPACT | JSON_ENSURE_ASCII);
        if (dumped)
            puts(dumped);
        else
            status = mo_error(MO_E_MEMORY, "there is no memory for the JSON");
        free(dumped);
        json_decref(root);
    }
    mo_free(prompt.text);
    mo_free(b.text);
    return status;
}

static void show_ended(output *o)
{
    for (; o->shown < o->prompts->count && o->texts[o->shown].ended && o->status == MO_OK; o->shown++) {
        o->status = (o->choices->json ? show_object : show_text)(o, o->shown);
        mo_free(o->texts[o->shown].ids);
        o->texts[o->shown].ids = NULL;
    }
}

/* ---- as they come ---- */

static mo_emitted emit(int64_t prompt, int32_t id, void *user)
{
    output *o = user;
    added *t = &o->texts[prompt];
    if (mo__stop && o->status == MO_OK) o->status = mo_error(MO_E_INTERRUPTED, "interrupted");
    if (o->status != MO_OK || o->gone) return MO_EMITTED_STOP;
    if (t->count == t->room) {
        int64_t room = 2 * t->room + 64;
        int32_t *grown = mo_realloc(t->ids, (size_t)room * sizeof *grown);
        if (!grown) {
            o->status = MO_E_MEMORY;
            return MO_EMITTED_STOP;
        }
        t->ids = grown;
        t->room = room;
    }
    t->ids[t->count++] = id;
    t->by_model = id == o->eos;
    return t->by_model ? MO_EMITTED_END : MO_EMITTED_GO_ON;
}

static void end(int64_t prompt, void *user)
{
    output *o = user;
    o->texts[prompt].ended = true;
    show_ended(o);
    o->gone = !mo__stdout_flush();
}

mo_status mo__generate_prompts(const mo_trained *t, const mo__prompts *prompts, const mo__prompts_choices *c)
{
    output o = {.trained = t,
                .prompts = prompts,
                .choices = c,
                .eos = mo_tokenizer_eos(t->tokenizer),
                .terminal = isatty(STDOUT_FILENO)};
    o.texts = mo_calloc((size_t)prompts->count, sizeof *o.texts);
    if (!o.texts) return MO_E_MEMORY;
    mo_generate_batch_options options = {.prompts = prompts->ids,
                                         .n_prompts = prompts->count,
                                         .slots = c->slots,
                                         .max_tokens = c->max_tokens,
                                         .sampling = c->sampling,
                                         .emit = emit,
                                         .end = end,
                                         .user = &o};
    mo__session_begin_work();
    mo_status status = mo_generate_batch(t->model, &options);
    if (status == MO_OK) status = o.status;
    for (int64_t i = 0; i < prompts->count; i++) mo_free(o.texts[i].ids);
    mo_free(o.texts);
    return status;
}
