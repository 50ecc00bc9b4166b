/* chat.c -- messages to ids, and which of them are learnt.
 *
 * Text of neighbours gathers until a token comes or what is learnt begins, and is encoded as one: so the ids
 * of a conversation up to a reply are the first ids of the conversation with the reply. */
#include <string.h>

#include "chat_template.h"

const char *const mo_chat_role_names[] = {"system", "user", "assistant", NULL};

typedef struct encoder {
    const mo_chat_template *template;
    mo_chat_tokens tokens;
    int64_t room;
    char *text; /* gathered */
    size_t size, text_room;
    bool learnt; /* what is gathered */
} encoder;

static mo_status put_ids(encoder *e, const int32_t *ids, int64_t count, bool learnt)
{
    mo_chat_tokens *t = &e->tokens;
    if (t->count + count > e->room) {
        int64_t room = 2 * (t->count + count) + 16;
        int32_t *grown = mo_realloc(t->ids, (size_t)room * sizeof *grown);
        if (!grown) return MO_E_MEMORY;
        t->ids = grown;
        uint8_t *mask = mo_realloc(t->mask, (size_t)room);
        if (!mask) return MO_E_MEMORY;
        t->mask = mask;
        e->room = room;
    }
    if (count) memcpy(t->ids + t->count, ids, (size_t)count * sizeof *ids);
    if (count) memset(t->mask + t->count, learnt, (size_t)count);
    t->count += count;
    return MO_OK;
}

static mo_status encode_gathered(encoder *e)
{
    mo_text_piece piece = {e->text, e->size, true};
    int64_t count;
    int32_t *ids;
    if (e->size == 0) return MO_OK;
    MO_TRY(mo_tokenizer_encode_batch(e->template->tokenizer, &piece, 1, &ids, &count));
    e->size = 0;
    mo_status status = put_ids(e, ids, count, e->learnt);
    mo_free(ids);
    return status;
}

static mo_status put_text(encoder *e, const char *text, size_t size, bool learnt)
{
    if (learnt != e->learnt) MO_TRY(encode_gathered(e));
    e->learnt = learnt;
    if (e->size + size > e->text_room) {
        size_t room = 2 * (e->size + size);
        char *grown = mo_realloc(e->text, room);
        if (!grown) return MO_E_MEMORY;
        e->text = grown;
        e->text_room = room;
    }
    if (size) memcpy(e->text + e->size, text, size);
    e->size += size;
    return MO_OK;
}

static mo_status put_token(encoder *e, int32_t id, bool learnt)
{
    if (id < 0) return MO_OK;
    MO_TRY(encode_gathered(e));
    return put_ids(e, &id, 1, learnt);
}

/* `system`: what {system} stands for; it has none of its own. */
static mo_status put_piece(encoder *e, int which, const mo_chat_message *message,
                           const mo_chat_message *system)
{
    const mo__chat_piece *p = &e->template->pieces[which];
    bool learnt = which == MO__CHAT_ASSISTANT_PIECE;
    for (int i = 0; i < p->count; i++) {
        const mo__chat_element *one = &p->at[i];
        if (one->kind == MO__CHAT_TEXT)
            MO_TRY(put_text(e, one->text, one->size, learnt));
        else if (one->kind == MO__CHAT_TOKEN)
            MO_TRY(put_token(e, one->id, learnt));
        else if (one->kind == MO__CHAT_CONTENT)
            MO_TRY(put_text(e, message->content, message->size, learnt));
        else if (system)
            MO_TRY(put_piece(e, MO__CHAT_SYSTEM_PIECE, system, NULL));
    }
    return MO_OK;
}

/* ---- what can be said ---- */

static mo_status check_content(const mo_chat_template *t, const mo_chat_message *m, int i)
{
    for (int g = 0; g < t->n_guards; g++)
        if (m->size && memmem(m->content, m->size, t->guards[g].text, t->guards[g].size))
            return mo_error(MO_E_FORMAT,
                            "message %d (%s) has the text of {%.60s}, which in this template ends or begins "
                            "messages",
                            i + 1, mo_chat_role_names[m->role], t->guards[g].name);
    return MO_OK;
}

static mo_status check_role(const mo_chat_template *t, const mo_chat_message *messages, int i)
{
    mo_chat_role role = messages[i].role;
    int first = messages[0].role == MO_CHAT_SYSTEM;
    if (role == MO_CHAT_SYSTEM && i == 0 && !t->pieces[MO__CHAT_SYSTEM_PIECE].given)
        return mo_error(MO_E_FORMAT, "message 1 is a system message, and the template has no \"system\"");
    mo_chat_role wanted = i < first ? MO_CHAT_SYSTEM : (i - first) % 2 ? MO_CHAT_ASSISTANT : MO_CHAT_USER;
    if (role == wanted) return MO_OK;
    return mo_error(
        MO_E_FORMAT,
        "message %d is of role \"%s\", \"%s\" was to come: user and assistant take turns, after at "
        "most one system message",
        i + 1, mo_chat_role_names[role], mo_chat_role_names[wanted]);
}

static mo_status check(const mo_chat_template *t, const mo_chat_message *messages, int n, bool reply)
{
    for (int i = 0; i < n; i++) {
        MO_TRY(check_role(t, messages, i));
        MO_TRY(check_content(t, &messages[i], i));
    }
    if (n == 0 || messages[n - 1].role == MO_CHAT_SYSTEM)
        return mo_error(MO_E_FORMAT, "has no message of a user");
    if (reply && messages[n - 1].role != MO_CHAT_USER)
        return mo_error(MO_E_FORMAT, "message %d is the assistant's, a user's must come before a reply", n);
    return MO_OK;
}

static bool system_within_user(const mo_chat_template *t)
{
    const mo__chat_piece *p = &t->pieces[MO__CHAT_USER_PIECE];
    for (int i = 0; i < p->count; i++)
        if (p->at[i].kind == MO__CHAT_SYSTEM) return true;
    return false;
}

static mo_status put_messages(encoder *e, const mo_chat_message *messages, int n, bool reply)
{
    const mo_chat_message *system = messages[0].role == MO_CHAT_SYSTEM ? &messages[0] : NULL;
    MO_TRY(put_piece(e, MO__CHAT_BOS, NULL, NULL));
    if (system && !system_within_user(e->template)) {
        MO_TRY(put_piece(e, MO__CHAT_SYSTEM_PIECE, system, NULL));
        system = NULL;
    }
    for (int i = messages[0].role == MO_CHAT_SYSTEM; i < n; i++) {
        if (messages[i].role == MO_CHAT_USER) {
            MO_TRY(put_piece(e, MO__CHAT_USER_PIECE, &messages[i], system));
            system = NULL;
            continue;
        }
        MO_TRY(put_piece(e, MO__CHAT_REPLY, NULL, NULL));
        MO_TRY(put_piece(e, MO__CHAT_ASSISTANT_PIECE, &messages[i], NULL));
        if (i + 1 < n) MO_TRY(put_piece(e, MO__CHAT_BETWEEN, NULL, NULL));
    }
    if (reply) MO_TRY(put_piece(e, MO__CHAT_REPLY, NULL, NULL));
    return encode_gathered(e);
}

static mo_status put_next(encoder *e, const mo_chat_message *message)
{
    MO_TRY(put_piece(e, MO__CHAT_BETWEEN, NULL, NULL));
    MO_TRY(put_piece(e, MO__CHAT_USER_PIECE, message, NULL));
    MO_TRY(put_piece(e, MO__CHAT_REPLY, NULL, NULL));
    return encode_gathered(e);
}

static mo_status finish(encoder *e, mo_status status, mo_chat_tokens *out)
{
    mo_free(e->text);
    if (status == MO_OK)
        *out = e->tokens;
    else
        mo_chat_tokens_free(&e->tokens);
    return status;
}

mo_status mo_chat_encode(const mo_chat_template *t, const mo_chat_message *messages, int n, bool reply,
                         mo_chat_tokens *out)
{
    encoder e = {.template = t};
    *out = (mo_chat_tokens){0};
    MO_TRY(check(t, messages, n, reply));
    return finish(&e, put_messages(&e, messages, n, reply), out);
}

mo_status mo_chat_encode_next(const mo_chat_template *t, const char *content, size_t size,
                              mo_chat_tokens *out)
{
    encoder e = {.template = t};
    mo_chat_message message = {MO_CHAT_USER, content, size};
    *out = (mo_chat_tokens){0};
    MO_TRY(check_content(t, &message, 0));
    return finish(&e, put_next(&e, &message), out);
}

void mo_chat_tokens_free(mo_chat_tokens *tokens)
{
    mo_free(tokens->ids);
    mo_free(tokens->mask);
    *tokens = (mo_chat_tokens){0};
}
