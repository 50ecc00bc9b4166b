/* value_text.c -- from the field of a key to text, and what a key takes in words. */
#include "value.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

static const void *field_in(const mo__key *key, const void *owner)
{
    return (const char *)owner + key->offset;
}

const char *mo__value_kind(const mo__key *key)
{
    switch (key->type) {
    case MO__INT:
    case MO__UINT64:
        return "a whole number";
    case MO__REAL:
        return "a number";
    case MO__STRING:
        return "text";
    case MO__BOOL:
        return "true or false";
    case MO__LIST:
        return "a list";
    case MO__ENUM:
        break;
    }
    return "a name";
}

/* The fewest digits that strtod turns back into the same bits; 17 always do. */
static void add_real(double value, mo__buffer *out)
{
    char text[40];
    if (value == floor(value) && fabs(value) < 1e15) {
        snprintf(text, sizeof text, "%.0f", value);
    } else {
        int digits = 1;
        do {
            snprintf(text, sizeof text, "%.*g", digits, value);
        } while (strtod(text, NULL) != value && digits++ < 17);
    }
    mo__buffer_add(out, "%s", text);
}

void mo__value_add_expected(const mo__key *key, mo__buffer *out)
{
    switch (key->type) {
    case MO__UINT64:
        mo__buffer_add(out, "0 to %llu", (unsigned long long)UINT64_MAX);
        break;
    case MO__INT:
        mo__buffer_add(out, "%.0f to %.0f", key->min, key->max);
        break;
    case MO__REAL:
        mo__buffer_add(out, "%s",
                       key->flags & MO__ABOVE_MIN   ? "above "
                       : key->flags & MO__BELOW_MAX ? "at least "
                                                    : "");
        add_real(key->min, out);
        mo__buffer_add(out, "%s",
                       key->flags & MO__ABOVE_MIN   ? ", at most "
                       : key->flags & MO__BELOW_MAX ? ", below "
                                                    : " to ");
        add_real(key->max, out);
        break;
    case MO__BOOL:
        mo__buffer_add(out, "true or false");
        break;
    case MO__STRING:
        mo__buffer_add(out, "text of %.0f to %.0f bytes", key->min, key->max);
        break;
    case MO__ENUM:
        for (int i = 0; key->names[i]; i++)
            mo__buffer_add(out, "%s%s", i ? ", " : key->names[1] ? "one of " : "", key->names[i]);
        break;
    case MO__LIST:
        mo__buffer_add(out, "list of ");
        mo__record_add_shape(key->record, out);
        break;
    }
}

/* YAML's printable characters, less its line breaks, stand for themselves in double quotes. */
static bool needs_escape(uint32_t point)
{
    return point < 0x20 || (point >= 0x7F && point < 0xA0) || point == 0x2028 || point == 0x2029 ||
           point == 0xFEFF || point == 0xFFFE || point == 0xFFFF;
}

static mo_status add_string(const char *text, mo__buffer *out)
{
    mo__buffer_add(out, "\"");
    const char *whole = text;
    uint32_t point = 0;
    for (int length; *text; text += length) {
        length = mo__utf8_next(text, &point);
        if (length == 0) return mo_error(MO_E_CONFIG, "'%s' is not valid UTF-8", mo__show(whole).text);
        if (point == '"' || point == '\\')
            mo__buffer_add(out, "\\%c", (char)point);
        else if (point == '\n')
            mo__buffer_add(out, "\\n");
        else if (needs_escape(point))
            mo__buffer_add(out, point < 0x100 ? "\\x%02X" : "\\u%04X", (unsigned)point);
        else
            mo__buffer_add(out, "%.*s", length, text);
    }
    mo__buffer_add(out, "\"");
    return MO_OK;
}

static mo_status add_enum(const mo__key *key, int value, mo__buffer *out)
{
    int count = 0;
    while (key->names[count]) count++;
    if (value < 0 || value >= count) return mo_error(MO_E_CONFIG, "%d stands for no name", value);
    mo__buffer_add(out, "%s", key->names[value]);
    return MO_OK;
}

bool mo__value_given(const mo__key *key, const void *owner)
{
    return !(key->flags & MO__OPTIONAL) || !isnan(*(const double *)field_in(key, owner));
}

mo_status mo__value_add(const mo__key *key, const void *owner, mo__buffer *out)
{
    const void *field = field_in(key, owner);
    double real;
    switch (key->type) {
    case MO__INT:
        mo__buffer_add(out, "%lld", (long long)*(const int64_t *)field);
        return MO_OK;
    case MO__UINT64:
        mo__buffer_add(out, "%llu", (unsigned long long)*(const uint64_t *)field);
        return MO_OK;
    case MO__REAL:
        real = *(const double *)field;
        if (!mo__value_given(key, owner)) {
            mo__buffer_add(out, "%s", key->initial);
            return MO_OK;
        }
        if (!isfinite(real)) return mo_error(MO_E_CONFIG, "%g is not a finite number", real);
        add_real(real, out);
        return MO_OK;
    case MO__BOOL:
        mo__buffer_add(out, *(const bool *)field ? "true" : "false");
        return MO_OK;
    case MO__STRING:
        return add_string(*(char *const *)field, out);
    case MO__LIST:
        return mo__list_add(key, owner, out);
    case MO__ENUM:
        break;
    }
    return add_enum(key, *(const int *)field, out);
}

bool mo__value_equal(const mo__key *key, const void *a, const void *b)
{
    const void *x = field_in(key, a), *y = field_in(key, b);
    switch (key->type) {
    case MO__INT:
        return *(const int64_t *)x == *(const int64_t *)y;
    case MO__UINT64:
        return *(const uint64_t *)x == *(const uint64_t *)y;
    case MO__REAL:
        if (!mo__value_given(key, a) || !mo__value_given(key, b))
            return mo__value_given(key, a) == mo__value_given(key, b);
        return *(const double *)x == *(const double *)y;
    case MO__BOOL:
        return *(const bool *)x == *(const bool *)y;
    case MO__STRING:
        return strcmp(*(char *const *)x, *(char *const *)y) == 0;
    case MO__LIST:
        return mo__list_equal(key, a, b);
    case MO__ENUM:
        break;
    }
    return *(const int *)x == *(const int *)y;
}
