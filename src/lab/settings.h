/* settings.h -- lists of settings and of texts. */
#ifndef MOIRA_LAB_SETTINGS_H
#define MOIRA_LAB_SETTINGS_H

#include <moira/lab.h>

/* The setting's value becomes this one, in its place if the key is there, else at the end. */
mo_status mo__settings_put(mo_lab_settings *settings, const char *key, const char *value);
mo_status mo__settings_put_number(mo_lab_settings *settings, const char *key, int64_t value);
/* A run of so many steps, whatever else could end it. */
mo_status mo__settings_put_steps(mo_lab_settings *settings, int64_t steps);
mo_status mo__settings_put_all(mo_lab_settings *settings, const mo_lab_settings *from);
/* The value, or NULL. */
const char *mo__settings_find(const mo_lab_settings *settings, const char *key);
/* Whether the key says where data or a model lie: what counts is what is in them. */
bool mo__setting_is_place(const char *key);
void mo__settings_free(mo_lab_settings *settings);

/* Texts, all owned. */
typedef struct mo__word_list {
    char **at;
    int count;
} mo__word_list;
/* Takes `text` over, also on failure; NULL is MO_E_MEMORY. */
mo_status mo__word_list_add(mo__word_list *texts, char *text);
void mo__word_list_free(mo__word_list *texts);
/* "key=value" of each, added to `words`. */
mo_status mo__settings_words(const mo_lab_settings *settings, mo__word_list *words);
/* Loads `path` with the settings upon it. */
mo_status mo__settings_load(const char *path, const mo_lab_settings *settings, mo_run_config *out);

#endif
