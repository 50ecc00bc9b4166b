/* corpus_jsonl.c -- one line of JSON, by jansson, and what is wrong with it. */
#include "corpus_jsonl.h"

#include <jansson.h>
#include <string.h>

enum { SHOWN = 160 };

/* What is quoted from a file may hold anything: control characters are not for a terminal. */
static void show(char out[SHOWN], const char *text)
{
    size_t i = 0;
    for (; text[i] && i + 1 < SHOWN; i++)
        out[i] = (unsigned char)text[i] < 0x20 || text[i] == 0x7F ? '?' : text[i];
    while (i && text[i] && ((unsigned char)text[i] & 0xC0) == 0x80) i--; /* no half a character */
    out[i] = '\0';
}

static mo_status refuse(const mo__record *r, const char *problem)
{
    return mo_error(MO_E_FORMAT, "%s: line %lld: %s", r->file->path, (long long)r->line, problem);
}

/* Lines of it may be objects, the last one without the comma behind the others: not to be skipped over. */
static mo_status refuse_array(const mo__record *r)
{
    return mo_error(MO_E_UNSUPPORTED,
                    "%s: is a JSON array that spans lines, and JSONL has an object on each line; jq -c '.[]' "
                    "makes such lines of it",
                    r->file->path);
}

static bool begins_array(const char *line, size_t size)
{
    size_t i = 0;
    while (i < size && strchr(" \t\r", line[i])) i++;
    return i < size && line[i] == '[';
}

static mo_status refuse_json(const mo__record *r, const char *line, const json_error_t *error)
{
    if (r->first && begins_array(line, r->size) &&
        json_error_code(error) == json_error_premature_end_of_input)
        return refuse_array(r);
    char shown[SHOWN], problem[SHOWN + 128];
    if (json_error_code(error) == json_error_out_of_memory)
        return mo_error(MO_E_MEMORY, "no memory for a line of JSON");
    show(shown, error->text);
    snprintf(problem, sizeof problem, "is not JSON: %s, at byte %d of the line%s", shown, error->position,
             r->first && json_error_code(error) == json_error_premature_end_of_input
                 ? "; where an object spans lines, jq -c . makes a line of it"
                 : "");
    return refuse(r, problem);
}

static const char *name_of(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "a list";
    case JSON_STRING:
        return "a text";
    case JSON_INTEGER:
    case JSON_REAL:
        return "a number";
    case JSON_TRUE:
    case JSON_FALSE:
        return "true or false";
    case JSON_NULL:
        break;
    }
    return "null";
}

/* "has no field "text"; it has "question", "answer"" */
static mo_status refuse_absent(const mo__record *r, json_t *object, const char *field)
{
    char problem[512 + 32], shown[SHOWN];
    show(shown, field);
    int used = snprintf(problem, sizeof problem, "has no field \"%s\"", shown);
    const char *separator = "; it has ";
    for (void *i = json_object_iter(object); i && used < 256; i = json_object_iter_next(object, i)) {
        show(shown, json_object_iter_key(i));
        used += snprintf(problem + used, sizeof problem - (size_t)used, "%s\"%s\"", separator, shown);
        separator = ", ";
    }
    snprintf(problem + used, sizeof problem - (size_t)used, "; --field names another");
    return refuse(r, problem);
}

/* object.a.b, where the object has no key "a.b" itself. */
static const json_t *find(const json_t *object, const char *field)
{
    const json_t *found = json_object_get(object, field);
    char key[SHOWN];
    while (!found && json_is_object(object)) {
        size_t length = strcspn(field, ".");
        if (length >= sizeof key || field[length] == '\0') return json_object_get(object, field);
        memcpy(key, field, length);
        key[length] = '\0';
        object = json_object_get(object, key);
        field += length + 1;
    }
    return found;
}

static mo_status take(const mo__record *r, json_t *object, const char *field, mo__record_text *out)
{
    char problem[2 * SHOWN], shown[SHOWN];
    if (!json_is_object(object)) {
        snprintf(problem, sizeof problem, "is %s, an object {...} is needed%s", name_of(object),
                 r->first && json_is_array(object) ? "; of a list of objects, jq -c '.[]' makes such lines"
                                                   : "");
        return refuse(r, problem);
    }
    const json_t *text = find(object, field);
    if (!text) return refuse_absent(r, object, field);
    show(shown, field);
    snprintf(problem, sizeof problem, "field \"%s\" is %s, a text is needed", shown, name_of(text));
    if (!json_is_string(text)) return refuse(r, problem);
    out->text = json_string_value(text);
    out->size = json_string_length(text);
    snprintf(problem, sizeof problem, "field \"%s\" has a NUL character (\\u0000), which no text has", shown);
    return memchr(out->text, 0, out->size) ? refuse(r, problem) : MO_OK;
}

/* Numbers are nothing to us: as reals, integers may be as large as a double. */
mo_status mo__record_text_parse(const mo__record *record, const char *line, const char *field,
                                mo__record_text *out)
{
    json_error_t error;
    *out = (mo__record_text){.text = NULL};
    json_t *object =
        json_loadb(line, record->size, JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL | JSON_ALLOW_NUL, &error);
    if (!object) return refuse_json(record, line, &error);
    out->owner = object;
    mo_status status = take(record, object, field, out);
    if (status != MO_OK) mo__record_text_free(out);
    return status;
}

void mo__record_text_free(mo__record_text *t)
{
    json_decref(t->owner);
    *t = (mo__record_text){.text = NULL};
}
