/* hf_json.c -- objects and their values, checked. */
#include "hf/hf_json.h"

#include <math.h>
#include <string.h>

mo_status mo__hf_json_read(const char *what, const char *text, size_t size, json_t **out)
{
    json_error_t error;
    *out = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
    if (!*out) {
        if (json_error_code(&error) == json_error_out_of_memory)
            return mo_error(MO_E_MEMORY, "%s: no memory for its JSON", what);
        return mo_error(MO_E_FORMAT, "%s: line %d, column %d of its JSON: %s", what, error.line, error.column,
                        error.text);
    }
    if (json_is_object(*out)) return MO_OK;
    json_decref(*out);
    *out = NULL;
    return mo_error(MO_E_FORMAT, "%s: is no JSON object, {\"key\": value, ...}", what);
}

mo_status mo__hf_json_read_file(const char *path, size_t limit, json_t **out)
{
    char *text;
    size_t size;
    *out = NULL;
    MO_TRY(mo_read_file(path, limit, &text, &size));
    mo_status status = mo__hf_json_read(path, text, size, out);
    mo_free(text);
    return status;
}

bool mo__hf_json_plain(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < ' ' || *text == 127) return false;
    return true;
}

const json_t *mo__hf_json_get(const mo__hf_json_place *at, const char *key)
{
    const json_t *value = json_object_get(at->object, key);
    return json_is_null(value) ? NULL : value;
}

static const char *kind_of(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "a list";
    case JSON_STRING:
        return "a text";
    case JSON_INTEGER:
        return "a whole number";
    case JSON_REAL:
        return "a real number";
    case JSON_TRUE:
    case JSON_FALSE:
        return "a truth value";
    case JSON_NULL:
        break;
    }
    return "null";
}

static mo_status refuse(const mo__hf_json_place *at, const char *key, const char *wanted, const json_t *value)
{
    return mo_error(MO_E_FORMAT, "%s: %s must be %s, and is %s", at->path, key, wanted, kind_of(value));
}

mo_status mo__hf_json_int(const mo__hf_json_place *at, const char *key, int64_t initial, int64_t min,
                          int64_t max, int64_t *out)
{
    const json_t *value = mo__hf_json_get(at, key);
    *out = initial;
    if (!value) return MO_OK;
    if (!json_is_integer(value)) return refuse(at, key, "a whole number", value);
    *out = json_integer_value(value);
    if (*out >= min && *out <= max) return MO_OK;
    return mo_error(MO_E_RANGE, "%s: %s is %lld, must be %lld to %lld", at->path, key, (long long)*out,
                    (long long)min, (long long)max);
}

mo_status mo__hf_json_real(const mo__hf_json_place *at, const char *key, double initial, double min,
                           double max, double *out)
{
    const json_t *value = mo__hf_json_get(at, key);
    *out = initial;
    if (!value) return MO_OK;
    if (!json_is_number(value)) return refuse(at, key, "a number", value);
    *out = json_number_value(value);
    if (*out >= min && *out <= max) return MO_OK;
    return mo_error(MO_E_RANGE, "%s: %s is %g, must be %g to %g", at->path, key, *out, min, max);
}

mo_status mo__hf_json_bool(const mo__hf_json_place *at, const char *key, bool initial, bool *out)
{
    const json_t *value = mo__hf_json_get(at, key);
    *out = initial;
    if (!value) return MO_OK;
    if (!json_is_boolean(value)) return refuse(at, key, "true or false", value);
    *out = json_is_true(value);
    return MO_OK;
}

mo_status mo__hf_json_text(const mo__hf_json_place *at, const char *key, const char **out)
{
    const json_t *value = mo__hf_json_get(at, key);
    *out = "";
    if (!value) return MO_OK;
    if (!json_is_string(value)) return refuse(at, key, "a text", value);
    *out = json_string_value(value);
    if (mo__hf_json_plain(*out)) return MO_OK;
    return mo_error(MO_E_FORMAT, "%s: %s has control characters", at->path, key);
}
