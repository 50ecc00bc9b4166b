/* value.c -- from text to the field of a key, refusing what the key does not take. */
#include "value.h"

#include <math.h>
#include <string.h>

#include "base/utf8.h"
#include "number.h"

/* "'text' <problem>; expected <what the key takes>" */
static mo_status refuse(const mo__key *key, const char *text, const char *problem)
{
    mo__buffer expected = {0};
    char *what;
    mo__value_add_expected(key, &expected);
    MO_TRY(mo__buffer_finish(&expected, MO_OK, &what));
    mo_status status = mo_error(MO_E_CONFIG, "'%s' %s; expected %s", mo__show(text).text, problem, what);
    mo_free(what);
    return status;
}

static mo_status refuse_null(const mo__key *key, const char *text)
{
    const char *problem = *text ? " is not a value" : "no value is given";
    if (!key->initial) return mo_error(MO_E_CONFIG, "%s%s; give %s", text, problem, mo__value_kind(key));
    const char *quotes = key->type == MO__STRING ? "\"" : "";
    return mo_error(MO_E_CONFIG, "%s%s; give %s, or leave the key out for its default %s%s%s", text, problem,
                    mo__value_kind(key), quotes, key->initial, quotes);
}

static mo_status refuse_number(const mo__key *key, const char *text, mo__number why)
{
    switch (why) {
    case MO__NUMBER_LEADING_ZERO:
        return refuse(key, text, "has a leading zero, which some YAML readers take for octal");
    case MO__NUMBER_TOO_LARGE:
        return refuse(key, text, "is out of range");
    case MO__NUMBER_TOO_SMALL:
        return refuse(key, text, "is nearer to 0 than any number that can be stored");
    case MO__NUMBER_NOT:
    case MO__NUMBER_OK:
        break;
    }
    return refuse(key, text, key->type == MO__REAL ? "is not a finite number" : "is not a whole number");
}

static mo_status set_int(const mo__key *key, const char *text, int64_t *field)
{
    bool negative;
    uint64_t magnitude;
    mo__number why = mo__number_whole(text, &negative, &magnitude);
    if (why != MO__NUMBER_OK) return refuse_number(key, text, why);
    if (magnitude > INT64_MAX) return refuse_number(key, text, MO__NUMBER_TOO_LARGE);
    int64_t value = negative ? -(int64_t)magnitude : (int64_t)magnitude;
    if (value < (int64_t)key->min || value > (int64_t)key->max) return refuse(key, text, "is out of range");
    *field = value;
    return MO_OK;
}

static mo_status set_uint64(const mo__key *key, const char *text, uint64_t *field)
{
    bool negative;
    uint64_t magnitude;
    mo__number why = mo__number_whole(text, &negative, &magnitude);
    if (why != MO__NUMBER_OK) return refuse_number(key, text, why);
    if (negative) return refuse_number(key, text, MO__NUMBER_TOO_LARGE);
    *field = magnitude;
    return MO_OK;
}

static mo_status set_real(const mo__key *key, const char *text, double *field)
{
    double value;
    mo__number why = mo__number_real(text, &value);
    if (why != MO__NUMBER_OK) return refuse_number(key, text, why);
    bool low = key->flags & MO__ABOVE_MIN ? value <= key->min : value < key->min;
    bool high = key->flags & MO__BELOW_MAX ? value >= key->max : value > key->max;
    if (low || high) return refuse(key, text, "is out of range");
    *field = value;
    return MO_OK;
}

static mo_status set_bool(const mo__key *key, const char *text, bool *field)
{
    static const char *const disputed[] = {"yes", "no", "on", "off", "y", "n"};
    bool value = strcmp(text, "true") == 0;
    if (!value && strcmp(text, "false") != 0) {
        for (size_t i = 0; i < sizeof disputed / sizeof disputed[0]; i++)
            if (strcmp(text, disputed[i]) == 0)
                return refuse(key, text, "is a truth value only to some YAML readers");
        return refuse(key, text, "is not a truth value");
    }
    *field = value;
    return MO_OK;
}

static mo_status set_enum(const mo__key *key, const char *text, int *field)
{
    size_t count = 0;
    for (; key->names[count]; count++) {
        if (strcmp(text, key->names[count]) == 0) {
            *field = (int)count;
            return MO_OK;
        }
    }
    const char *nearest = mo_nearest_name(text, key->names, count);
    mo_status status = refuse(key, text, "is not known here");
    if (nearest && status == MO_E_CONFIG)
        return mo_error(status, "%s; did you mean %s?", mo_last_error(), nearest);
    return status;
}

static bool is_folder_name(const char *text)
{
    if (text[0] == '.') return false;
    for (; *text; text++)
        if (*text == '/' || (unsigned char)*text < 0x20 || *text == 0x7F) return false;
    return true;
}

static bool is_utf8(const char *text)
{
    uint32_t point;
    for (int length; *text; text += length)
        if ((length = mo__utf8_next(text, &point)) == 0) return false;
    return true;
}

static mo_status set_string(const mo__key *key, const char *text, char **field)
{
    double length = (double)strlen(text);
    if (length < key->min || length > key->max)
        return refuse(key, text, length < key->min ? "is too short" : "is too long");
    if (!is_utf8(text)) return refuse(key, text, "is not valid UTF-8");
    if (key->flags & MO__FOLDER_NAME && !is_folder_name(text))
        return refuse(key, text,
                      "names a folder, so it cannot hold '/' or control characters, or start with '.'");
    char *copy = mo_strdup(text);
    if (!copy) return MO_E_MEMORY;
    mo_free(*field);
    *field = copy;
    return MO_OK;
}

static bool is_null(const char *text)
{
    static const char *const words[] = {"", "~", "null", "Null", "NULL"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcmp(text, words[i]) == 0) return true;
    return false;
}

mo_status mo__value_set(const mo__key *key, const char *text, mo__writing writing, void *owner)
{
    void *field = (char *)owner + key->offset;
    bool optional = key->flags & MO__OPTIONAL && is_null(key->initial);
    if (optional && *text && is_null(text) && writing != MO__QUOTED) return mo__value_set_default(key, owner);
    if (writing == MO__PLAIN && is_null(text)) return refuse_null(key, text);
    if (writing == MO__QUOTED && key->type != MO__STRING && key->type != MO__ENUM)
        return refuse(key, text, "is quoted, so it is text");
    switch (key->type) {
    case MO__INT:
        return set_int(key, text, field);
    case MO__UINT64:
        return set_uint64(key, text, field);
    case MO__REAL:
        return set_real(key, text, field);
    case MO__BOOL:
        return set_bool(key, text, field);
    case MO__STRING:
        return set_string(key, text, field);
    case MO__ENUM:
        return set_enum(key, text, field);
    case MO__LIST:
        break;
    }
    return refuse(key, text, "is one value");
}

mo_status mo__value_set_default(const mo__key *key, void *owner)
{
    void *field = (char *)owner + key->offset;
    if (key->type == MO__LIST) return MO_OK;
    if (key->flags & MO__OPTIONAL) {
        *(double *)field = (double)NAN;
        return MO_OK;
    }
    if (key->initial) return mo__value_set(key, key->initial, MO__WORD, owner);
    if (key->type != MO__STRING) return MO_OK;
    char **string = field;
    *string = mo_strdup("");
    return *string ? MO_OK : MO_E_MEMORY;
}

void mo__value_free(const mo__key *key, void *owner)
{
    void *field = (char *)owner + key->offset;
    if (key->type == MO__STRING) mo_free(*(char **)field);
    if (key->type == MO__LIST) mo__list_free(key, mo__list_get(key, owner));
}
