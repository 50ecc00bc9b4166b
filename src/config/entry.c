/* entry.c -- from what a text says about a key to the key's field. */
#include "entry.h"

void mo__entry_free(mo__entry *entry)
{
    for (int i = 0; i < entry->count; i++) mo__entry_free(&entry->items[i]);
    mo_free(entry->items);
    mo_free(entry->text);
    *entry = (mo__entry){0};
}

mo_status mo__at(const char *origin, int line, const char *name, mo_status status)
{
    if (name) mo_error_context(status, "%s", name);
    return origin ? mo_error_context(status, "%s:%d", origin, line) : status;
}

static mo_status set_field(const mo__key *field, const mo__entry *entry, void *element)
{
    if (entry->line) return mo__value_set(field, entry->text, entry->writing, element);
    if (!field->initial) return mo_error(MO_E_CONFIG, "is missing; it has no default");
    return mo__value_set_default(field, element);
}

static mo_status set_element(const mo__key *key, const mo__entry *entry, int index, const char *origin,
                             void *element)
{
    for (int f = 0; f < key->record->n_fields; f++) {
        const mo__key *field = &key->record->fields[f];
        mo_status status = set_field(field, &entry->items[f], element);
        int line = entry->items[f].line ? entry->items[f].line : entry->line;
        if (status != MO_OK)
            return mo__at(origin, line, mo__name_element(key->name, index, field).text, status);
    }
    return MO_OK;
}

static mo_status set_list(const mo__key *key, const mo__entry *entry, const char *origin, void *owner)
{
    if (entry->count > (int)key->max)
        return mo__at(origin, entry->line, key->name,
                      mo_error(MO_E_CONFIG, "has %d elements; the most is %.0f", entry->count, key->max));
    mo__list list = {mo_calloc((size_t)entry->count + 1, key->record->size), 0};
    mo_status status = list.at ? MO_OK : MO_E_MEMORY;
    while (status == MO_OK && list.count < entry->count) {
        int i = (int)list.count++;
        status = set_element(key, &entry->items[i], i, origin, mo__list_element(key, list, i));
    }
    if (status == MO_OK) {
        mo__list before = mo__list_get(key, owner);
        mo__list_put(key, list, owner);
        list = before;
    }
    mo__list_free(key, list);
    return status;
}

mo_status mo__entry_set(const mo__key *key, const mo__entry *entry, const char *origin, void *owner)
{
    if (key->type == MO__LIST) return set_list(key, entry, origin, owner);
    mo_status status = mo__value_set(key, entry->text, entry->writing, owner);
    return status == MO_OK ? MO_OK : mo__at(origin, entry->line, key->name, status);
}
