/* corpus_texts.c -- lines are parsed by all threads, and what went wrong is told by the first of them. */
#include "corpus_texts.h"

#include "base/text.h"
#include "corpus_talk.h"

enum { TOLD = 3 /* bad lines */ };

static const char *field_of(const mo_corpus *corpus)
{
    return corpus->field ? corpus->field : "text";
}

static void clear(mo__texts *texts)
{
    for (int64_t i = 0; i < texts->count; i++)
        if (texts->at[i].owner) mo__record_text_free(&texts->at[i]);
    texts->count = 0;
}

void mo__texts_free(mo__texts *texts)
{
    clear(texts);
    mo_free(texts->at);
    *texts = (mo__texts){0};
}

static mo_status make_room(mo__texts *texts, int64_t count)
{
    if (count <= texts->room) return MO_OK;
    mo__record_text *grown = mo_realloc(texts->at, (size_t)count * sizeof *grown);
    if (!grown) return MO_E_MEMORY;
    texts->at = grown;
    texts->room = count;
    return MO_OK;
}

static mo_status text_of(const mo_corpus *corpus, const mo__records *batch, int64_t i, mo__record_text *out)
{
    const mo__record *r = &batch->at[i];
    const char *bytes = batch->bytes + r->at;
    if (r->line && corpus->content == MO_CORPUS_CONVERSATIONS) return mo__talk_parse(r, bytes, corpus, out);
    if (r->line) return mo__record_text_parse(r, bytes, field_of(corpus), out);
    *out = (mo__record_text){.text = bytes, .size = r->size, .invalid = mo_utf8_invalid(bytes, r->size)};
    return MO_OK;
}

mo_status mo__refuse_bad(mo_status status)
{
    char message[MO__MESSAGE_SIZE];
    snprintf(message, sizeof message, "%s", mo_last_error());
    return mo_error(status, "%s; --skip-bad leaves out such lines", message);
}

void mo__tell_bad(int64_t before)
{
    if (before < TOLD)
        mo_log(MO_LOG_WARNING, "left out: %s%s", mo_last_error(),
               before + 1 < TOLD ? "" : "; more such lines are counted only");
}

/* A failure leaves its message on the thread that met it: the first one is met again on this thread. */
mo_status mo__texts_parse(const mo_corpus *corpus, const mo__records *batch, mo__texts *texts)
{
    clear(texts);
    MO_TRY(make_room(texts, batch->count));
#pragma omp parallel for schedule(dynamic, 16)
    for (int64_t i = 0; i < batch->count; i++) text_of(corpus, batch, i, &texts->at[i]);
    texts->count = batch->count;
    for (int64_t i = 0; i < batch->count; i++) {
        texts->invalid += texts->at[i].invalid;
        if (texts->at[i].text) continue;
        mo_status status = text_of(corpus, batch, i, &texts->at[i]);
        if (status == MO_OK) continue;
        if (status != MO_E_FORMAT) return status;
        if (!corpus->skip_bad) return mo__refuse_bad(status);
        if (texts->tells) mo__tell_bad(texts->bad);
        texts->bad++;
    }
    return MO_OK;
}
