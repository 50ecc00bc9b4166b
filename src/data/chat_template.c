/* chat_template.c -- a template is bound to a tokenizer: its tokens get their ids. */
#include <string.h>

#include "chat_template.h"

static int32_t find_token(const mo_tokenizer *t, const char *name)
{
    for (int32_t id = 0; id < mo_tokenizer_vocab_size(t); id++)
        if (strcmp(mo_tokenizer_piece(t, id), name) == 0) return id;
    return -1;
}

static mo_status guard_token(mo_chat_template *t, const mo__chat_element *e)
{
    if (mo_tokenizer_token_bytes(t->tokenizer, e->id) == 0) return MO_OK;
    mo__chat_guard *grown = mo_realloc(t->guards, (size_t)(t->n_guards + 1) * sizeof *grown);
    if (!grown) return MO_E_MEMORY;
    t->guards = grown;
    mo__chat_guard g = {.name = e->text};
    MO_TRY(mo_tokenizer_decode(t->tokenizer, &e->id, 1, &g.text, &g.size));
    t->guards[t->n_guards++] = g;
    return MO_OK;
}

static mo_status bind_token(mo_chat_template *t, mo__chat_element *e)
{
    const mo_tokenizer *tokenizer = t->tokenizer;
    if (strcmp(e->text, "bos") == 0) {
        e->id = mo_tokenizer_bos(tokenizer);
        return MO_OK;
    }
    bool eos = strcmp(e->text, "eos") == 0;
    e->id = eos ? mo_tokenizer_eos(tokenizer) : find_token(tokenizer, e->text);
    if (eos && e->id < 0) e->id = find_token(tokenizer, "<0x00>");
    if (eos && e->id < 0)
        return mo_error(MO_E_MISMATCH,
                        "{eos}: the tokenizer has neither an end token nor the byte <0x00>; name another");
    if (e->id < 0) return mo_error(MO_E_MISMATCH, "{%.60s}: the tokenizer has no such token", e->text);
    return guard_token(t, e);
}

static mo_status bind(mo_chat_template *t)
{
    for (int i = 0; i < MO__CHAT_PIECES; i++)
        for (int e = 0; e < t->pieces[i].count; e++) {
            if (t->pieces[i].at[e].kind != MO__CHAT_TOKEN) continue;
            mo_status status = bind_token(t, &t->pieces[i].at[e]);
            if (status != MO_OK) return mo_error_context(status, "\"%s\"", mo__chat_piece_names[i]);
        }
    const mo__chat_piece *assistant = &t->pieces[MO__CHAT_ASSISTANT_PIECE];
    t->end = assistant->at[assistant->count - 1].id;
    return MO_OK;
}

mo_status mo_chat_template_open(const char *name_or_path, const mo_tokenizer *tokenizer,
                                mo_chat_template **out)
{
    *out = NULL;
    mo_chat_template *t = mo_calloc(1, sizeof *t);
    if (!t) return MO_E_MEMORY;
    t->tokenizer = tokenizer;
    mo_status status = mo__chat_pieces_read(name_or_path, t->pieces);
    if (status == MO_OK && tokenizer) {
        status = bind(t);
        if (status != MO_OK && status != MO_E_MEMORY)
            mo_error_context(status, "template %.200s", name_or_path);
    }
    if (status == MO_OK && tokenizer)
        *out = t;
    else
        mo_chat_template_free(t);
    return status;
}

void mo_chat_template_free(mo_chat_template *t)
{
    if (!t) return;
    for (int i = 0; i < t->n_guards; i++) mo_free(t->guards[i].text);
    mo_free(t->guards);
    mo__chat_pieces_free(t->pieces);
    mo_free(t);
}

int32_t mo_chat_end(const mo_chat_template *t)
{
    return t->end;
}

bool mo_chat_is_mark(const mo_chat_template *t, int32_t id)
{
    for (int i = 0; i < MO__CHAT_PIECES; i++)
        for (int e = 0; e < t->pieces[i].count; e++)
            if (t->pieces[i].at[e].kind == MO__CHAT_TOKEN && t->pieces[i].at[e].id == id) return true;
    return false;
}

const char *mo_chat_lead(const mo_chat_template *t, size_t *size)
{
    const mo__chat_element *first = t->pieces[MO__CHAT_ASSISTANT_PIECE].at;
    *size = first->kind == MO__CHAT_TEXT ? first->size : 0;
    return first->text;
}
