/* settings.c -- lists of settings and of texts. */
#include "settings.h"

#include <string.h>

static mo_lab_setting *find(const mo_lab_settings *settings, const char *key)
{
    for (int i = 0; i < settings->count; i++)
        if (strcmp(settings->at[i].key, key) == 0) return &settings->at[i];
    return NULL;
}

const char *mo__settings_find(const mo_lab_settings *settings, const char *key)
{
    const mo_lab_setting *setting = find(settings, key);
    return setting ? setting->value : NULL;
}

/* Grows to the next power of two when `count` is one. */
static mo_status make_room(void **at, int count, size_t size)
{
    if (count & (count - 1)) return MO_OK;
    void *larger = mo_realloc(*at, (count ? 2 * (size_t)count : 1) * size);
    if (!larger) return MO_E_MEMORY;
    *at = larger;
    return MO_OK;
}

static mo_status add(mo_lab_settings *settings, const char *key, char *value)
{
    void *at = settings->at;
    MO_TRY(make_room(&at, settings->count, sizeof *settings->at));
    settings->at = at;
    char *name = mo_strdup(key);
    if (!name) return MO_E_MEMORY;
    settings->at[settings->count++] = (mo_lab_setting){name, value};
    return MO_OK;
}

mo_status mo__settings_put(mo_lab_settings *settings, const char *key, const char *value)
{
    char *copy = mo_strdup(value);
    if (!copy) return MO_E_MEMORY;
    mo_lab_setting *there = find(settings, key);
    if (there) {
        mo_free(there->value);
        there->value = copy;
        return MO_OK;
    }
    mo_status status = add(settings, key, copy);
    if (status != MO_OK) mo_free(copy);
    return status;
}

mo_status mo__settings_put_number(mo_lab_settings *settings, const char *key, int64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)value);
    return mo__settings_put(settings, key, text);
}

mo_status mo__settings_put_steps(mo_lab_settings *settings, int64_t steps)
{
    MO_TRY(mo__settings_put_number(settings, "train.steps", steps));
    MO_TRY(mo__settings_put(settings, "train.tokens", "0"));
    return mo__settings_put(settings, "train.seconds", "0");
}

mo_status mo__settings_put_all(mo_lab_settings *settings, const mo_lab_settings *from)
{
    for (int i = 0; i < from->count; i++)
        MO_TRY(mo__settings_put(settings, from->at[i].key, from->at[i].value));
    return MO_OK;
}

bool mo__setting_is_place(const char *key)
{
    return strcmp(key, "data.path") == 0 || strcmp(key, "data.mixture") == 0 || strcmp(key, "init.from") == 0;
}

void mo__settings_free(mo_lab_settings *settings)
{
    for (int i = 0; i < settings->count; i++) {
        mo_free(settings->at[i].key);
        mo_free(settings->at[i].value);
    }
    mo_free(settings->at);
    *settings = (mo_lab_settings){0};
}

mo_status mo__word_list_add(mo__word_list *texts, char *text)
{
    void *at = texts->at;
    mo_status status = text ? make_room(&at, texts->count, sizeof *texts->at) : MO_E_MEMORY;
    texts->at = at;
    if (status == MO_OK)
        texts->at[texts->count++] = text;
    else
        mo_free(text);
    return status;
}

void mo__word_list_free(mo__word_list *texts)
{
    for (int i = 0; i < texts->count; i++) mo_free(texts->at[i]);
    mo_free(texts->at);
    *texts = (mo__word_list){0};
}

mo_status mo__settings_words(const mo_lab_settings *settings, mo__word_list *words)
{
    for (int i = 0; i < settings->count; i++)
        MO_TRY(mo__word_list_add(words, mo_strprintf("%s=%s", settings->at[i].key, settings->at[i].value)));
    return MO_OK;
}

mo_status mo__settings_load(const char *path, const mo_lab_settings *settings, mo_run_config *out)
{
    mo__word_list words = {0};
    mo_status status = mo__settings_words(settings, &words);
    if (status == MO_OK) status = mo_config_load(path, (const char *const *)words.at, words.count, out);
    mo__word_list_free(&words);
    return status;
}
