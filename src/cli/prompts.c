#include "prompts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

static const size_t LIMIT = (size_t)1 << 30;

/* ---- the file ---- */

static mo_status read_input(char **out, size_t *size)
{
    size_t room = 0;
    *out = NULL;
    *size = 0;
    while (!feof(stdin)) {
        if (room - *size < 4096) {
            room = 2 * room + 65536;
            char *grown = room > LIMIT ? NULL : mo_realloc(*out, room);
            if (!grown) {
                mo_free(*out);
                return room > LIMIT ? mo_error(MO_E_RANGE, "standard input: more than %zu MiB", LIMIT >> 20)
                                    : MO_E_MEMORY;
            }
            *out = grown;
        }
        *size += fread(*out + *size, 1, room - *size, stdin);
        if (!ferror(stdin)) continue;
        mo_free(*out);
        return mo_error(MO_E_IO, "standard input: cannot be read: %s", strerror(errno));
    }
    return MO_OK;
}

/* ---- a line ---- */

static mo_status keep(mo__prompts *p, const char *text, size_t size, int64_t line)
{
    char *copy = mo_malloc(size + 1);
    if (!copy) return MO_E_MEMORY;
    memcpy(copy, text, size);
    copy[size] = '\0';
    p->at[p->count++] = (mo__prompt_line){copy, size, line, NULL};
    return MO_OK;
}

static mo_status take_object(mo__prompts *p, const char *text, size_t size, int64_t line)
{
    json_error_t error;
    if (strspn(text, " \t\r\n") >= size) return MO_OK; /* NUL-terminated, or ended by a line's end */
    json_t *root = json_loadb(text, size, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &error), *prompt;
    if (!root)
        return mo_error(MO_E_FORMAT, "%s:%lld: is no JSON object: %s", p->name, (long long)line, error.text);
    prompt = json_object_get(root, "prompt");
    mo_status status =
        json_is_string(prompt)
            ? keep(p, json_string_value(prompt), json_string_length(prompt), line)
            : mo_error(MO_E_FORMAT, "%s:%lld: has no \"prompt\" that is a string", p->name, (long long)line);
    json_decref(root);
    return status;
}

static bool is_jsonl(const char *path)
{
    size_t length = strlen(path);
    return length > 6 && strcmp(path + length - 6, ".jsonl") == 0;
}

static mo_status take_lines(mo__prompts *p, const char *text, size_t size, bool objects)
{
    int64_t lines = 1;
    for (size_t i = 0; i < size; i++) lines += text[i] == '\n';
    p->at = mo_calloc((size_t)lines, sizeof *p->at);
    if (!p->at) return MO_E_MEMORY;
    int64_t line = 1;
    for (size_t at = 0; at < size; line++) {
        const char *end = memchr(text + at, '\n', size - at);
        size_t length = end ? (size_t)(end - text) - at : size - at, next = at + length + 1;
        if (objects)
            MO_TRY(take_object(p, text + at, length, line));
        else
            MO_TRY(
                keep(p, text + at, length > 0 && text[at + length - 1] == '\r' ? length - 1 : length, line));
        at = next;
    }
    return p->count > 0 ? MO_OK : mo_error(MO_E_FORMAT, "%s: holds no prompt", p->name);
}

mo_status mo__prompts_read(const char *path, mo__prompts *out)
{
    char *text = NULL;
    size_t size = 0;
    bool input = strcmp(path, "-") == 0;
    *out = (mo__prompts){.name = input ? "standard input" : path};
    MO_TRY(input ? read_input(&text, &size) : mo_read_file(path, LIMIT, &text, &size));
    mo_status status = take_lines(out, text, size, is_jsonl(path));
    mo_free(text);
    if (status != MO_OK) mo__prompts_free(out);
    return status;
}

mo_status mo__prompts_encode(mo__prompts *p, const mo_tokenizer *tokenizer)
{
    p->ids = mo_calloc((size_t)p->count, sizeof *p->ids);
    if (!p->ids) return MO_E_MEMORY;
    for (int64_t i = 0; i < p->count; i++) {
        mo__prompt_line *l = &p->at[i];
        mo_status status = mo_generate_prompt(tokenizer, l->text, l->size, &l->ids, &p->ids[i].count);
        p->ids[i].ids = l->ids;
        if (status == MO_E_RANGE && l->size == 0)
            return mo_error(MO_E_USAGE, "%s:%lld: is empty; this model goes on from at least one token",
                            p->name, (long long)l->line);
        if (status != MO_OK) {
            mo_error_context(status, "%s:%lld", p->name, (long long)l->line);
            return status;
        }
    }
    return MO_OK;
}

void mo__prompts_free(mo__prompts *p)
{
    for (int64_t i = 0; i < p->count; i++) {
        mo_free(p->at[i].text);
        mo_free(p->at[i].ids);
    }
    mo_free(p->at);
    mo_free(p->ids);
    *p = (mo__prompts){0};
}
