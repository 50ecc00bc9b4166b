/* corpus_talk.c -- messages of a line: a list of them, or a prompt and its completion. */
#include "corpus_talk.h"

#include <string.h>

#include "corpus_line.h"

static const char MESSAGES[] = "messages", PROMPT[] = "prompt", COMPLETION[] = "completion";

static mo_status create(const mo__record *r, size_t count, mo__record_text *out)
{
    mo__talk *t = out->talk = mo_calloc(1, sizeof *t + count * sizeof *t->at);
    if (!t) return MO_E_MEMORY;
    t->record = r;
    t->count = (int)count;
    return MO_OK;
}

/* ---- two fields ---- */

static mo_status take_field(const mo__record *r, json_t *object, const char *field, mo_chat_message *out)
{
    char what[MO__LINE_SHOWN + 32], shown[MO__LINE_SHOWN];
    const json_t *text = mo__line_find(object, field);
    mo__line_show(shown, field);
    snprintf(what, sizeof what, text ? "field \"%s\"" : "has no field \"%s\"", shown);
    if (!text)
        return mo__line_refuse_absent(r, object, what, "--prompt-field and --completion-field name others");
    return mo__line_text(r, text, what, &out->content, &out->size);
}

static mo_status take_fields(const mo__record *r, json_t *object, const char *prompt, const char *completion,
                             mo__record_text *out)
{
    char problem[2 * MO__LINE_SHOWN], shown[MO__LINE_SHOWN];
    MO_TRY(create(r, 2, out));
    mo_chat_message *m = out->talk->at;
    m[0].role = MO_CHAT_USER;
    m[1].role = MO_CHAT_ASSISTANT;
    MO_TRY(take_field(r, object, prompt, &m[0]));
    MO_TRY(take_field(r, object, completion, &m[1]));
    mo__line_show(shown, completion);
    snprintf(problem, sizeof problem, "field \"%s\" is empty: there is no completion to learn", shown);
    return m[1].size ? MO_OK : mo__line_refuse(r, problem);
}

/* ---- messages ---- */

static mo_status take_role(const mo__record *r, const json_t *value, int i, mo_chat_role *out)
{
    char problem[2 * MO__LINE_SHOWN], shown[MO__LINE_SHOWN];
    const char *name = json_string_value(value);
    for (int role = 0; name && role < MO_CHAT_ROLES; role++)
        if (strcmp(name, mo_chat_role_names[role]) == 0) {
            *out = (mo_chat_role)role;
            return MO_OK;
        }
    mo__line_show(shown, name ? name : value ? mo__line_kind(value) : "not there");
    snprintf(problem, sizeof problem,
             name ? "message %d: role \"%s\" is unknown; there are system, user and assistant"
                  : "message %d: its \"role\" is %s; it is \"system\", \"user\" or \"assistant\"",
             i, shown);
    return mo__line_refuse(r, problem);
}

static mo_status take_message(const mo__record *r, const json_t *message, int i, mo_chat_message *out)
{
    char what[64];
    if (!json_is_object(message)) {
        snprintf(what, sizeof what, "message %d is %s, an object {...} is needed", i, mo__line_kind(message));
        return mo__line_refuse(r, what);
    }
    const json_t *content = json_object_get(message, "content");
    MO_TRY(take_role(r, json_object_get(message, "role"), i, &out->role));
    snprintf(what, sizeof what, content ? "message %d: its \"content\"" : "message %d has no \"content\"", i);
    if (!content) return mo__line_refuse(r, what);
    MO_TRY(mo__line_text(r, content, what, &out->content, &out->size));
    snprintf(what, sizeof what, "message %d: the assistant says nothing", i);
    return out->role == MO_CHAT_ASSISTANT && out->size == 0 ? mo__line_refuse(r, what) : MO_OK;
}

static mo_status take_messages(const mo__record *r, const json_t *list, mo__record_text *out)
{
    char problem[128];
    size_t count = json_array_size(list);
    snprintf(problem, sizeof problem, "\"messages\" is %s, a list is needed", mo__line_kind(list));
    if (!json_is_array(list)) return mo__line_refuse(r, problem);
    if (count == 0) return mo__line_refuse(r, "\"messages\" is empty");
    MO_TRY(create(r, count, out));
    for (size_t i = 0; i < count; i++)
        MO_TRY(take_message(r, json_array_get(list, i), (int)i + 1, &out->talk->at[i]));
    mo_chat_role last = out->talk->at[count - 1].role;
    snprintf(problem, sizeof problem,
             "ends with a message of role \"%s\": the assistant's reply, which is to be learnt, is missing",
             mo_chat_role_names[last]);
    return last == MO_CHAT_ASSISTANT ? MO_OK : mo__line_refuse(r, problem);
}

/* ---- a line ---- */

static mo_status take(const mo__record *r, json_t *object, const mo_corpus *c, mo__record_text *out)
{
    const char *prompt = c->prompt_field, *completion = c->completion_field;
    const json_t *messages = prompt || completion ? NULL : json_object_get(object, MESSAGES);
    if (messages) return take_messages(r, messages, out);
    if (!prompt && !completion && !json_object_get(object, PROMPT) && !json_object_get(object, COMPLETION))
        return mo__line_refuse_absent(
            r, object, "is no conversation: has neither \"messages\" nor \"prompt\" and \"completion\"",
            "--prompt-field and --completion-field name other fields");
    return take_fields(r, object, prompt ? prompt : PROMPT, completion ? completion : COMPLETION, out);
}

mo_status mo__talk_parse(const mo__record *record, const char *line, const mo_corpus *corpus,
                         mo__record_text *out)
{
    json_t *object;
    *out = (mo__record_text){.text = NULL};
    MO_TRY(mo__line_object(record, line, &object));
    out->owner = object;
    mo_status status = take(record, object, corpus, out);
    if (status != MO_OK) {
        mo__record_text_free(out);
        return status;
    }
    out->text = out->talk->at[0].content;
    for (int i = 0; i < out->talk->count; i++) out->size += out->talk->at[i].size;
    return MO_OK;
}

/* ---- a corpus ---- */

static bool is_talk(const json_t *object)
{
    return !json_object_get(object, "text") &&
           (json_is_array(json_object_get(object, MESSAGES)) ||
            (json_object_get(object, PROMPT) && json_object_get(object, COMPLETION)));
}

static mo_status look_at(const mo__corpus_file *file, bool *out)
{
    mo__reader_plan one = {.files = file, .n_files = 1};
    mo__reader *reader;
    mo__records batch = {0};
    json_t *object = NULL;
    mo_status status = mo__reader_open(&one, &reader);
    while (status == MO_OK && batch.count == 0 && !batch.last) status = mo__reader_next(reader, &batch);
    for (int64_t i = 0; status == MO_OK && !object && i < batch.count; i++)
        mo__line_object(&batch.at[i], batch.bytes + batch.at[i].at, &object);
    *out = object && is_talk(object);
    json_decref(object);
    mo__records_free(&batch);
    mo__reader_close(reader);
    return status;
}

mo_status mo__talk_look(const mo__corpus_files *files, bool *out)
{
    *out = false;
    for (int64_t i = 0; i < files->count; i++)
        if (files->at[i].jsonl) return look_at(&files->at[i], out);
    return MO_OK;
}
