/* setting.c -- a key by its full name, and its value from one word. */
#include "setting.h"

#include <string.h>

#include "entry.h"

mo_status mo__setting_find(const char *name, int *key)
{
    const char *dot = strchr(name, '.');
    char *section = mo_strprintf("%.*s", dot ? (int)(dot - name) : 0, name);
    if (!section) return MO_E_MEMORY;
    const char *leaf = dot ? dot + 1 : name;
    *key = dot && !*section ? -1 : mo__key_find(section, leaf);
    mo_status status = *key >= 0                              ? MO_OK
                       : dot && mo__section_find(section) < 0 ? mo__section_unknown(section)
                                                              : mo__key_unknown(section, leaf);
    mo_free(section);
    return status;
}

mo_status mo__setting_set(int key, const char *word, mo_run_config *config)
{
    if (mo__keys[key].type != MO__LIST) return mo__value_set(&mo__keys[key], word, MO__WORD, config);
    mo__entry entry;
    MO_TRY(mo__entry_parse(&mo__keys[key], word, &entry));
    mo_status status = mo__entry_set(&mo__keys[key], &entry, NULL, config);
    mo__entry_free(&entry);
    return status;
}

mo_status mo__setting_check(int key, const char *word, char **canonical)
{
    mo_run_config scratch = {0};
    char *text = NULL;
    mo_status status = mo__setting_set(key, word, &scratch);
    if (status == MO_OK) status = mo__setting_text(key, &scratch, &text);
    mo__value_free(&mo__keys[key], &scratch);
    if (canonical)
        *canonical = text;
    else
        mo_free(text);
    return status;
}

mo_status mo__setting_text(int key, const mo_run_config *config, char **out)
{
    mo__buffer text = {0};
    return mo__buffer_finish(&text, mo__value_add(&mo__keys[key], config, &text), out);
}
