/* dump.c -- the resolved config as text, and two configs compared. */
#include <moira/config.h>

#include <string.h>

#include "value.h"

static mo_status add_key(const mo__key *key, const char *indent, const mo_run_config *config,
                         mo__buffer *text)
{
    mo__buffer_add(text, "%s%s: ", indent, mo__key_leaf(key));
    mo_status status = mo__value_add(key, config, text);
    mo__buffer_add(text, "\n");
    return status == MO_OK ? MO_OK : mo_error_context(status, "%s", key->name);
}

static mo_status add_section(const char *section, const mo_run_config *config, mo__buffer *text)
{
    if (*section) mo__buffer_add(text, "%s:\n", section);
    for (int i = 0; i < mo__key_count; i++)
        if (mo__key_in_section(&mo__keys[i], section))
            MO_TRY(add_key(&mo__keys[i], *section ? "  " : "", config, text));
    return MO_OK;
}

mo_status mo_config_dump(const mo_run_config *config, char **out)
{
    mo__buffer text = {0};
    mo_status status = MO_OK;
    mo__buffer_add(&text, "version: %d\n", MO_CONFIG_VERSION);
    for (int s = 0; s < mo__section_count && status == MO_OK; s++)
        status = add_section(mo__sections[s].name, config, &text);
    return mo__buffer_finish(&text, status, out);
}

mo_status mo_config_dump_model(const char *name, const mo_model_config *model,
                               const mo_balance_config *balance, char **out)
{
    mo__buffer text = {0};
    mo_run_config config = {.model = *model, .balance = *balance};
    config.run.name = (char *)(uintptr_t)name; /* only read */
    mo__buffer_add(&text, "version: %d\nrun:\n", MO_CONFIG_VERSION);
    mo_status status = add_key(&mo__keys[mo__key_find("run", "name")], "  ", &config, &text);
    if (status == MO_OK) status = add_section("model", &config, &text);
    if (status == MO_OK) status = add_section("balance", &config, &text);
    return mo__buffer_finish(&text, status, out);
}

static bool section_resumable(const char *section)
{
    for (int i = 0; i < mo__key_count; i++)
        if (mo__key_in_section(&mo__keys[i], section) && !(mo__keys[i].flags & MO__RESUMABLE)) return false;
    return true;
}

/* "run.threads, train.steps, eval.*, ...": the keys that may change, whole sections as one. */
static void add_resumable_key(const mo__key *key, const char **separator, mo__buffer *text)
{
    if (key->flags & MO__RESUMABLE) {
        mo__buffer_add(text, "%s%s", *separator, key->name);
        *separator = ", ";
    }
    for (int f = 0; key->type == MO__LIST && f < key->record->n_fields; f++) {
        if (!(key->record->fields[f].flags & MO__RESUMABLE)) continue;
        mo__buffer_add(text, "%s%s[].%s", *separator, key->name, key->record->fields[f].name);
        *separator = ", ";
    }
}

static void add_resumable(mo__buffer *text)
{
    const char *separator = "";
    for (int s = 0; s < mo__section_count; s++) {
        const char *section = mo__sections[s].name;
        bool whole = *section && section_resumable(section);
        if (whole) {
            mo__buffer_add(text, "%s%s.*", separator, section);
            separator = ", ";
        }
        for (int i = 0; i < mo__key_count && !whole; i++)
            if (mo__key_in_section(&mo__keys[i], section)) add_resumable_key(&mo__keys[i], &separator, text);
    }
}

static bool is_zero(const mo__key *key, const mo_run_config *config)
{
    return *(const int64_t *)(const void *)((const char *)config + key->offset) == 0;
}

static bool may_resume(const mo__key *key, const mo_run_config *saved, const mo_run_config *wanted)
{
    if (key->flags & MO__RESUMABLE || mo__value_equal(key, saved, wanted)) return true;
    return key->flags & MO__FROM_DATA && (is_zero(key, saved) || is_zero(key, wanted));
}

static mo_status add_difference(const mo__key *key, const char *name, const void *saved, const void *wanted,
                                mo__buffer *text)
{
    mo__buffer_add(text, "%s%s was ", text->size ? ", " : "", name);
    MO_TRY(mo__value_add(key, saved, text));
    mo__buffer_add(text, " and is now ");
    return mo__value_add(key, wanted, text);
}

/* Element by element: a list as a whole is too long to compare by eye. */
static mo_status add_list_difference(const mo__key *key, const mo_run_config *saved,
                                     const mo_run_config *wanted, mo__buffer *text)
{
    mo__list a = mo__list_get(key, saved), b = mo__list_get(key, wanted);
    if (a.count != b.count)
        mo__buffer_add(text, "%s%s had %lld elements and now has %lld", text->size ? ", " : "", key->name,
                       (long long)a.count, (long long)b.count);
    for (int64_t i = 0; i < a.count && i < b.count; i++) {
        const void *x = mo__list_element(key, a, i), *y = mo__list_element(key, b, i);
        for (int f = 0; f < key->record->n_fields; f++) {
            const mo__key *field = &key->record->fields[f];
            if (field->flags & MO__RESUMABLE || mo__value_equal(field, x, y)) continue;
            MO_TRY(add_difference(field, mo__name_element(key->name, i, field).text, x, y, text));
        }
    }
    return MO_OK;
}

mo_status mo_config_check_resume(const mo_run_config *saved, const mo_run_config *wanted)
{
    mo__buffer text = {0};
    mo_status status = MO_OK;
    for (int i = 0; i < mo__key_count && status == MO_OK; i++)
        if (!may_resume(&mo__keys[i], saved, wanted))
            status = mo__keys[i].type == MO__LIST
                         ? add_list_difference(&mo__keys[i], saved, wanted, &text)
                         : add_difference(&mo__keys[i], mo__keys[i].name, saved, wanted, &text);
    if (status == MO_OK && !text.size && !text.failed) return MO_OK;
    mo__buffer_add(&text, "; a resumed run may change only ");
    add_resumable(&text);
    char *message;
    MO_TRY(mo__buffer_finish(&text, status, &message));
    status = mo_error(MO_E_MISMATCH, "resume: %s", message);
    mo_free(message);
    return status;
}
