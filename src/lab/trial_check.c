/* trial_check.c -- see trial_check.h. Folders outlive results.db: whoever removes that and asks for something
 * else would be told what the old trials came to. */
#include "lab/trial_check.h"

#include <string.h>

#include "config/setting.h"
#include "lab/trial_words.h"

enum { MOST_BYTES = 1 << 20, MOST_TOLD = 4 };

/* The config of the run in its folder; *there is false if there is none. */
static mo_status load_found(const mo_lab_trial *t, bool *there, mo_run_config *out)
{
    size_t size;
    char *text = NULL, *path = mo_path_join(t->dir, "config.yaml");
    if (!path) return MO_E_MEMORY;
    mo_status status = mo_read_file(path, MOST_BYTES, &text, &size);
    *there = status != MO_E_NOT_FOUND;
    if (status == MO_OK) status = mo_config_parse(text, path, out);
    if (!*there) mo_error_clear();
    mo_free(text);
    mo_free(path);
    return *there ? status : MO_OK;
}

/* What its command asks for. */
static mo_status load_wanted(const mo_lab_spec *spec, const mo_lab_results *now, const mo_lab_trial *t,
                             mo_run_config *out)
{
    enum { SETTINGS = 3 }; /* after the program, train, the config */
    mo__word_list words = {0};
    mo_status status = mo__trial_words("", spec, now, t, 1, false, &words);
    int end = words.count;
    while (end > SETTINGS && words.at[end - 1][0] == '-') end--; /* options */
    if (status == MO_OK)
        status = mo_config_load(words.at[SETTINGS - 1], (const char *const *)words.at + SETTINGS,
                                end - SETTINGS, out);
    mo__word_list_free(&words);
    return status;
}

/* Not where the run and its data lie, with how many threads, what it says and how often it saves. That the
 * data is the same is seen to by what is asked, and by the program that goes on. */
static bool matters(const mo__key *key)
{
    static const char *const free_sections[] = {"run", "log", "checkpoint", "sample"};
    static const char *const places[] = {"data.path", "data.mixture"};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        if (strcmp(key->name, places[i]) == 0) return false;
    for (size_t i = 0; i < sizeof free_sections / sizeof *free_sections; i++)
        if (mo__key_in_section(key, free_sections[i])) return strcmp(key->name, "run.seed") == 0;
    return true;
}

static bool agree(const mo__key *key, const mo_run_config *a, const mo_run_config *b)
{
    const char *x = (const char *)a + key->offset, *y = (const char *)b + key->offset;
    if (!matters(key) || mo__value_equal(key, a, b)) return true;
    return key->flags & MO__FROM_DATA &&
           (*(const int64_t *)(const void *)x == 0 || *(const int64_t *)(const void *)y == 0);
}

static mo_status compare(const mo_lab_trial *t, const mo_run_config *found, const mo_run_config *wanted)
{
    mo__buffer text = {0};
    char *message;
    int told = 0;
    mo_status status = MO_OK;
    for (int k = 0; k < mo__key_count && status == MO_OK; k++) {
        if (agree(&mo__keys[k], found, wanted) || told++ >= MOST_TOLD) continue;
        mo__buffer_add(&text, "%s%s ", told > 1 ? ", " : "", mo__keys[k].name);
        status = mo__value_add(&mo__keys[k], found, &text);
        mo__buffer_add(&text, " where the trial has ");
        if (status == MO_OK) status = mo__value_add(&mo__keys[k], wanted, &text);
    }
    if (told > MOST_TOLD) mo__buffer_add(&text, ", and %d more", told - MOST_TOLD);
    if (status == MO_OK && told == 0) return MO_OK;
    MO_TRY(mo__buffer_finish(&text, status, &message));
    status =
        mo_error(MO_E_MISMATCH, "%s: holds another run, with %s; move that folder away", t->dir, message);
    mo_free(message);
    return status;
}

mo_status mo__trial_check(const mo_lab_spec *spec, const mo_lab_results *now, const mo_lab_trial *trial)
{
    bool there;
    mo_run_config found, wanted;
    mo_status status = load_found(trial, &there, &found);
    if (status != MO_OK || !there) return status;
    status = load_wanted(spec, now, trial, &wanted);
    if (status == MO_OK) {
        status = compare(trial, &found, &wanted);
        mo_config_free(&wanted);
    }
    mo_config_free(&found);
    return status;
}
