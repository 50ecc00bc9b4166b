/* hf_json_dump.c -- JSON as Python's json.dump(indent=2, sort_keys=True) lays it out, real numbers in their
 * shortest form. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "hf/hf_json.h"

/* A text that grows; failed: a piece was lost. */
typedef struct text {
    char *at;
    size_t size, room;
    bool failed;
} text;

static void add(text *t, const char *piece, size_t size)
{
    if (t->failed) return;
    if (t->size + size + 1 > t->room) {
        size_t room = 2 * (t->size + size + 1);
        char *larger = mo_realloc(t->at, room);
        if (!larger) {
            t->failed = true;
            return;
        }
        t->at = larger;
        t->room = room;
    }
    memcpy(t->at + t->size, piece, size);
    t->size += size;
    t->at[t->size] = '\0';
}

static void add_text(text *t, const char *piece)
{
    add(t, piece, strlen(piece));
}

static void add_line(text *t, int depth)
{
    add_text(t, "\n");
    for (int i = 0; i < depth; i++) add_text(t, "  ");
}

/* The fewest digits that read back the same; as Python, with an exponent below 1e-4 and from 1e16 on. */
static void add_real(text *t, double value)
{
    char shown[400];
    int digits = 0, exponent = 0;
    do snprintf(shown, sizeof shown, "%.*e", digits, value);
    while (strtod(shown, NULL) != value && ++digits < 17);
    const char *e = strchr(shown, 'e');
    if (e) exponent = atoi(e + 1);
    if (value == 0 || (exponent >= -4 && exponent < 16))
        snprintf(shown, sizeof shown, "%.*f", digits - exponent > 1 ? digits - exponent : 1, value);
    add_text(t, shown);
}

static void add_string(text *t, const char *value)
{
    json_t *string = json_string(value);
    char *quoted = string ? json_dumps(string, JSON_ENCODE_ANY) : NULL;
    if (quoted)
        add_text(t, quoted);
    else
        t->failed = true;
    free(quoted);
    json_decref(string);
}

static void add_value(text *t, const json_t *value, int depth);

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void add_object(text *t, const json_t *object, int depth)
{
    size_t n = 0, count = json_object_size(object);
    const char *key;
    json_t *value;
    const char **keys = mo_malloc((count + 1) * sizeof *keys);
    if (!keys) {
        t->failed = true;
        return;
    }
    json_object_foreach((json_t *)(uintptr_t)object, key, value) keys[n++] = key;
    qsort(keys, n, sizeof *keys, by_text);
    add_text(t, "{");
    for (size_t i = 0; i < n; i++) {
        if (i) add_text(t, ",");
        add_line(t, depth + 1);
        add_string(t, keys[i]);
        add_text(t, ": ");
        add_value(t, json_object_get(object, keys[i]), depth + 1);
    }
    if (n) add_line(t, depth);
    add_text(t, "}");
    mo_free(keys);
}

static void add_array(text *t, const json_t *array, int depth)
{
    size_t n = json_array_size(array);
    add_text(t, "[");
    for (size_t i = 0; i < n; i++) {
        if (i) add_text(t, ",");
        add_line(t, depth + 1);
        add_value(t, json_array_get(array, i), depth + 1);
    }
    if (n) add_line(t, depth);
    add_text(t, "]");
}

static void add_value(text *t, const json_t *value, int depth)
{
    char shown[32];
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        add_object(t, value, depth);
        return;
    case JSON_ARRAY:
        add_array(t, value, depth);
        return;
    case JSON_STRING:
        add_string(t, json_string_value(value));
        return;
    case JSON_REAL:
        add_real(t, json_real_value(value));
        return;
    case JSON_INTEGER:
        snprintf(shown, sizeof shown, "%lld", (long long)json_integer_value(value));
        add_text(t, shown);
        return;
    case JSON_TRUE:
        add_text(t, "true");
        return;
    case JSON_FALSE:
        add_text(t, "false");
        return;
    case JSON_NULL:
        add_text(t, "null");
        return;
    }
}

mo_status mo__hf_json_dump(const json_t *root, char **out)
{
    text t = {NULL, 0, 0, false};
    add_value(&t, root, 0);
    add_text(&t, "\n");
    if (t.failed) {
        mo_free(t.at);
        *out = NULL;
        return mo_error(MO_E_MEMORY, "no memory for a JSON text");
    }
    *out = t.at;
    return MO_OK;
}

mo_status mo__hf_json_put(json_t *object, const char *key, json_t *value)
{
    if (value && json_object_set_new(object, key, value) == 0) return MO_OK;
    return mo_error(MO_E_MEMORY, "no memory for %s in a JSON object", key);
}
