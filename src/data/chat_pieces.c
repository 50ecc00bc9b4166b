/* chat_pieces.c -- templates as JSON, by jansson: built in or from a file, every text taken apart and
 * checked.
 */
#include "chat_pieces.h"

#include <jansson.h>
#include <string.h>

enum { LARGEST = 64 << 10 };

const char *const mo__chat_piece_names[MO__CHAT_PIECES] = {"bos",   "system",    "user",
                                                           "reply", "assistant", "between"};
const char *const mo_chat_template_names[] = {"mixtral", NULL};

static const char *const BUILT_IN[] = {
    "{\"bos\": \"{bos}\", \"system\": \"{content}\\n\\n\", \"user\": \" [INST] {system}{content} [/INST]\","
    " \"assistant\": \" {content}{eos}\"}",
};

/* ---- a text and its braces ---- */

static mo_status add(mo__chat_piece *p, mo__chat_kind kind, const char *text, size_t size)
{
    mo__chat_element *grown = mo_realloc(p->at, (size_t)(p->count + 1) * sizeof *grown);
    if (!grown) return MO_E_MEMORY;
    p->at = grown;
    char *copy = mo_malloc(size + 1);
    if (!copy) return MO_E_MEMORY;
    if (size) memcpy(copy, text, size);
    copy[size] = '\0';
    p->at[p->count++] = (mo__chat_element){kind, copy, size, -1};
    return MO_OK;
}

static bool is(const char *name, size_t size, const char *word)
{
    return size == strlen(word) && memcmp(name, word, size) == 0;
}

static mo_status add_named(mo__chat_piece *p, const char *name, size_t size)
{
    if (size == 0) return mo_error(MO_E_FORMAT, "{} names nothing; {{ and }} are braces");
    mo__chat_kind kind = is(name, size, "content")  ? MO__CHAT_CONTENT
                         : is(name, size, "system") ? MO__CHAT_SYSTEM
                                                    : MO__CHAT_TOKEN;
    return add(p, kind, name, size);
}

/* Texts are gathered until a token: "{{" and "}}" are parts of them. */
static mo_status take_apart(mo__chat_piece *p, const char *text, size_t size, char *gathered)
{
    size_t used = 0;
    for (size_t i = 0; i < size;) {
        bool brace = text[i] == '{' || text[i] == '}';
        if (!brace || (i + 1 < size && text[i + 1] == text[i])) {
            gathered[used++] = text[i];
            i += brace ? 2 : 1;
            continue;
        }
        const char *end = text[i] == '{' ? memchr(text + i, '}', size - i) : NULL;
        if (!end)
            return mo_error(MO_E_FORMAT, "a '%c' by itself, at byte %zu; {{ and }} are braces", text[i], i);
        if (used) MO_TRY(add(p, MO__CHAT_TEXT, gathered, used));
        used = 0;
        MO_TRY(add_named(p, text + i + 1, (size_t)(end - text) - i - 1));
        i = (size_t)(end - text) + 1;
    }
    return used ? add(p, MO__CHAT_TEXT, gathered, used) : MO_OK;
}

static mo_status parse_piece(mo__chat_piece *p, const char *text, size_t size)
{
    char *gathered = mo_malloc(size + 1);
    if (!gathered) return MO_E_MEMORY;
    p->given = true;
    mo_status status = take_apart(p, text, size, gathered);
    mo_free(gathered);
    return status;
}

/* ---- what a piece must hold ---- */

static int count_of(const mo__chat_piece *p, mo__chat_kind kind)
{
    int n = 0;
    for (int i = 0; i < p->count; i++) n += p->at[i].kind == kind;
    return n;
}

static mo_status check_piece(int which, const mo__chat_piece *pieces)
{
    const mo__chat_piece *p = &pieces[which];
    bool message =
        which == MO__CHAT_SYSTEM_PIECE || which == MO__CHAT_USER_PIECE || which == MO__CHAT_ASSISTANT_PIECE;
    int contents = count_of(p, MO__CHAT_CONTENT), systems = count_of(p, MO__CHAT_SYSTEM);
    if (p->given && contents != message)
        return mo_error(MO_E_FORMAT, "has {content} %d times, it must be there %s", contents,
                        message ? "once" : "in system, user and assistant only");
    if (systems > (which == MO__CHAT_USER_PIECE))
        return mo_error(MO_E_FORMAT, "has {system} %d times, it can be in user only, once", systems);
    if (systems && !pieces[MO__CHAT_SYSTEM_PIECE].given)
        return mo_error(MO_E_FORMAT, "has {system}, and there is no \"system\" that says what goes there");
    return MO_OK;
}

static mo_status check_assistant(const mo__chat_piece *p)
{
    const mo__chat_element *last = &p->at[p->count - 1];
    if (p->count >= 2 && last[-1].kind == MO__CHAT_CONTENT && last->kind == MO__CHAT_TOKEN &&
        strcmp(last->text, "bos") != 0)
        return MO_OK;
    return mo_error(MO_E_FORMAT,
                    "must end with {content} and the token that ends a message: {eos}, or another "
                    "by its name");
}

static mo_status check(const mo__chat_piece *pieces)
{
    for (int i = 0; i < MO__CHAT_PIECES; i++) {
        bool needed = i == MO__CHAT_USER_PIECE || i == MO__CHAT_ASSISTANT_PIECE;
        if (needed && !pieces[i].given)
            return mo_error(MO_E_FORMAT, "has no \"%s\", which a template needs", mo__chat_piece_names[i]);
        mo_status status = check_piece(i, pieces);
        if (status == MO_OK && i == MO__CHAT_ASSISTANT_PIECE) status = check_assistant(&pieces[i]);
        if (status != MO_OK) return mo_error_context(status, "\"%s\"", mo__chat_piece_names[i]);
    }
    return MO_OK;
}

/* ---- JSON ---- */

static mo_status parse_key(const char *key, const json_t *value, mo__chat_piece *pieces)
{
    int which = 0;
    while (which < MO__CHAT_PIECES && strcmp(key, mo__chat_piece_names[which]) != 0) which++;
    if (which == MO__CHAT_PIECES && strcmp(key, "comment") != 0)
        return mo_error(
            MO_E_FORMAT,
            "has an unknown key \"%.40s\"; there are bos, system, user, reply, assistant, between "
            "and comment",
            key);
    if (!json_is_string(value)) return mo_error(MO_E_FORMAT, "\"%s\" must be a text", key);
    if (which == MO__CHAT_PIECES) return MO_OK;
    mo_status status = parse_piece(&pieces[which], json_string_value(value), json_string_length(value));
    return status == MO_OK ? MO_OK : mo_error_context(status, "\"%s\"", key);
}

static mo_status parse_object(json_t *object, mo__chat_piece *pieces)
{
    const char *key;
    json_t *value;
    if (!json_is_object(object))
        return mo_error(MO_E_FORMAT, "is no object {...} with \"user\", \"assistant\", ...");
    json_object_foreach(object, key, value) MO_TRY(parse_key(key, value, pieces));
    return check(pieces);
}

static mo_status parse(const char *text, size_t size, mo__chat_piece *pieces)
{
    json_error_t error;
    json_t *object = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
    if (!object && json_error_code(&error) == json_error_out_of_memory) return MO_E_MEMORY;
    if (!object) return mo_error(MO_E_FORMAT, "line %d: is not JSON: %.120s", error.line, error.text);
    mo_status status = parse_object(object, pieces);
    json_decref(object);
    return status;
}

static mo_status read_file(const char *path, mo__chat_piece *pieces)
{
    char *text;
    size_t size;
    if (!mo_path_exists(path))
        return mo_error(MO_E_NOT_FOUND,
                        "'%.200s' is no template: it is mixtral, and there is no file of this name", path);
    MO_TRY(mo_read_file(path, LARGEST, &text, &size));
    mo_status status = parse(text, size, pieces);
    mo_free(text);
    return status == MO_OK ? MO_OK : mo_error_context(status, "%s: template", path);
}

mo_status mo__chat_pieces_read(const char *name_or_path, mo__chat_piece pieces[MO__CHAT_PIECES])
{
    memset(pieces, 0, MO__CHAT_PIECES * sizeof *pieces);
    for (int i = 0; mo_chat_template_names[i]; i++)
        if (strcmp(name_or_path, mo_chat_template_names[i]) == 0)
            return parse(BUILT_IN[i], strlen(BUILT_IN[i]), pieces);
    return read_file(name_or_path, pieces);
}

void mo__chat_pieces_free(mo__chat_piece pieces[MO__CHAT_PIECES])
{
    for (int i = 0; i < MO__CHAT_PIECES; i++) {
        for (int e = 0; e < pieces[i].count; e++) mo_free(pieces[i].at[e].text);
        mo_free(pieces[i].at);
        pieces[i] = (mo__chat_piece){0};
    }
}
