/* corpus_line.c -- one line of JSON, by jansson, and what is wrong with it. */
#include "corpus_line.h"

#include <string.h>

enum { SHOWN = MO__LINE_SHOWN };

/* Control characters are not for a terminal. */
void mo__line_show(char out[SHOWN], const char *text)
{
    size_t i = 0;
    for (; text[i] && i + 1 < SHOWN; i++)
        out[i] = (unsigned char)text[i] < 0x20 || text[i] == 0x7F ? '?' : text[i];
    while (i && text[i] && ((unsigned char)text[i] & 0xC0) == 0x80) i--; /* no half a character */
    out[i] = '\0';
}

mo_status mo__line_refuse(const mo__record *r, const char *problem)
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
    mo__line_show(shown, error->text);
    snprintf(problem, sizeof problem, "is not JSON: %s, at byte %d of the line%s", shown, error->position,
             r->first && json_error_code(error) == json_error_premature_end_of_input
                 ? "; where an object spans lines, jq -c . makes a line of it"
                 : "");
    return mo__line_refuse(r, problem);
}

const char *mo__line_kind(const json_t *value)
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

/* ""question", "answer"": the keys that there is room for. */
static void list_keys(json_t *object, char *out, size_t room)
{
    char shown[SHOWN];
    size_t used = 0;
    out[0] = '\0';
    for (void *i = json_object_iter(object); i && used + SHOWN + 5 < room;
         i = json_object_iter_next(object, i)) {
        mo__line_show(shown, json_object_iter_key(i));
        used += (size_t)snprintf(out + used, room - used, "%s\"%s\"", used ? ", " : "", shown);
    }
}

mo_status mo__line_refuse_absent(const mo__record *r, json_t *object, const char *problem, const char *advice)
{
    char all[1024], keys[512];
    list_keys(object, keys, sizeof keys);
    snprintf(all, sizeof all, "%s%s%s; %s", problem, *keys ? "; it has " : "", keys, advice);
    return mo__line_refuse(r, all);
}

const json_t *mo__line_find(const json_t *object, const char *field)
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

mo_status mo__line_text(const mo__record *r, const json_t *value, const char *what, const char **text,
                        size_t *size)
{
    char problem[2 * SHOWN];
    snprintf(problem, sizeof problem, "%s is %s, a text is needed", what, mo__line_kind(value));
    if (!json_is_string(value)) return mo__line_refuse(r, problem);
    *text = json_string_value(value);
    *size = json_string_length(value);
    snprintf(problem, sizeof problem, "%s has a NUL character (\\u0000), which no text has", what);
    return memchr(*text, 0, *size) ? mo__line_refuse(r, problem) : MO_OK;
}

static mo_status check_object(const mo__record *r, const json_t *object)
{
    char problem[SHOWN];
    if (json_is_object(object)) return MO_OK;
    snprintf(problem, sizeof problem, "is %s, an object {...} is needed%s", mo__line_kind(object),
             r->first && json_is_array(object) ? "; of a list of objects, jq -c '.[]' makes such lines" : "");
    return mo__line_refuse(r, problem);
}

/* Numbers are nothing to us: as reals, integers may be as large as a double. */
mo_status mo__line_object(const mo__record *record, const char *line, json_t **out)
{
    json_error_t error;
    json_t *object =
        json_loadb(line, record->size, JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL | JSON_ALLOW_NUL, &error);
    *out = NULL;
    if (!object) return refuse_json(record, line, &error);
    mo_status status = check_object(record, object);
    if (status == MO_OK)
        *out = object;
    else
        json_decref(object);
    return status;
}
