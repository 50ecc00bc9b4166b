/* value_list.c -- lists of records: storage, text, comparison, names of elements. */
#include "value.h"

#include <string.h>

mo__list mo__list_get(const mo__key *key, const void *owner)
{
    mo__list list;
    memcpy(&list, (const char *)owner + key->offset, sizeof list);
    return list;
}

void mo__list_put(const mo__key *key, mo__list list, void *owner)
{
    memcpy((char *)owner + key->offset, &list, sizeof list);
}

void *mo__list_element(const mo__key *key, mo__list list, int64_t index)
{
    return (char *)list.at + (size_t)index * key->record->size;
}

void mo__list_free(const mo__key *key, mo__list list)
{
    const mo__record *record = key->record;
    for (int64_t i = 0; i < list.count; i++)
        for (int f = 0; f < record->n_fields; f++)
            mo__value_free(&record->fields[f], mo__list_element(key, list, i));
    mo_free(list.at);
}

static mo_status add_record(const mo__record *record, const void *element, mo__buffer *out)
{
    if (record->bare) return mo__value_add(&record->fields[0], element, out);
    const char *separator = "{";
    for (int f = 0; f < record->n_fields; f++) {
        const mo__key *field = &record->fields[f];
        if (!mo__value_given(field, element)) continue;
        mo__buffer_add(out, "%s%s: ", separator, field->name);
        mo_status status = mo__value_add(field, element, out);
        if (status != MO_OK) return mo_error_context(status, "%s", field->name);
        separator = ", ";
    }
    mo__buffer_add(out, "}");
    return MO_OK;
}

mo_status mo__list_add(const mo__key *key, const void *owner, mo__buffer *out)
{
    mo__list list = mo__list_get(key, owner);
    mo__buffer_add(out, "[");
    for (int64_t i = 0; i < list.count; i++) {
        if (i > 0) mo__buffer_add(out, ", ");
        mo_status status = add_record(key->record, mo__list_element(key, list, i), out);
        if (status != MO_OK) return mo_error_context(status, "element %lld", (long long)i);
    }
    mo__buffer_add(out, "]");
    return MO_OK;
}

bool mo__list_equal(const mo__key *key, const void *a, const void *b)
{
    mo__list x = mo__list_get(key, a), y = mo__list_get(key, b);
    if (x.count != y.count) return false;
    for (int64_t i = 0; i < x.count; i++)
        for (int f = 0; f < key->record->n_fields; f++)
            if (!mo__value_equal(&key->record->fields[f], mo__list_element(key, x, i),
                                 mo__list_element(key, y, i)))
                return false;
    return true;
}

void mo__record_add_shape(const mo__record *record, mo__buffer *out)
{
    if (record->bare) mo__buffer_add(out, "texts");
    for (int f = 0; f < record->n_fields && !record->bare; f++)
        mo__buffer_add(out, "%s%s%s", f ? ", " : "{", record->fields[f].name,
                       f + 1 == record->n_fields ? "}" : "");
}

mo__element_name mo__name_element(const char *list, int64_t index, const mo__key *field)
{
    mo__element_name name;
    bool dotted = field && *field->name;
    snprintf(name.text, sizeof name.text, "%.80s[%lld]%s%.20s", list, (long long)index, dotted ? "." : "",
             dotted ? field->name : "");
    return name;
}
