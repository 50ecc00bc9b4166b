/* json_out.c -- building and printing JSON, with one check for memory at the end. */
#include "json_out.h"

#include <math.h>
#include <string.h>

#include "base/utf8.h"

static bool failed;

void mo__json_set(json_t *object, const char *key, json_t *value)
{
    if (json_object_set_new(object, key, value) != 0) failed = true;
}

void mo__json_add(json_t *array, json_t *value)
{
    if (json_array_append_new(array, value) != 0) failed = true;
}

json_t *mo__json_real(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

json_t *mo__json_integer(int64_t value)
{
    return json_integer((json_int_t)value);
}

json_t *mo__json_text(const char *text)
{
    json_t *value = json_string(text);
    if (value) return value;
    char *clean = mo__printable(text, strlen(text));
    value = clean ? json_string(clean) : NULL;
    mo_free(clean);
    return value;
}

mo_status mo__json_print(json_t *root)
{
    bool whole = root && !failed;
    failed = false;
    if (whole) {
        json_dumpf(root, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(17));
        putchar('\n');
    }
    json_decref(root);
    return whole ? MO_OK : mo_error(MO_E_MEMORY, "there is no memory for the JSON");
}
