/* spec_values.c -- values in an experiment's file: plain ones, config keys and what they take. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "config/setting.h"
#include "spec.h"

mo_status mo__spec_at(const mo__spec_reader *r, const mo__doc *doc, mo_status status)
{
    return mo_error_context(status, doc->name ? "%s:%d: %s" : "%s:%d", r->origin, doc->line,
                            doc->name ? mo__show(doc->name).text : "");
}

mo_status mo__spec_value(const mo__spec_reader *r, const mo__doc *doc, const mo__key *key, void *owner)
{
    mo_status status = doc->kind == MO__DOC_VALUE
                           ? mo__value_set(key, doc->text, doc->writing, owner)
                           : mo_error(MO_E_CONFIG, "%s stands where one value should", mo__doc_describe(doc));
    return status == MO_OK ? MO_OK : mo__spec_at(r, doc, status);
}

const mo__doc *mo__spec_find(const mo__doc *map, const char *name)
{
    for (int i = 0; i < map->count; i++)
        if (strcmp(map->items[i].name, name) == 0) return &map->items[i];
    return NULL;
}

mo_status mo__spec_unknown(const char *name, const char *const *names, size_t count)
{
    const char *nearest = mo_nearest_name(name, names, count);
    if (nearest) return mo_error(MO_E_CONFIG, "unknown key; did you mean %s?", nearest);
    mo__buffer all = {0};
    char *text;
    for (size_t i = 0; i < count; i++) mo__buffer_add(&all, "%s%s", i ? ", " : "", names[i]);
    MO_TRY(mo__buffer_finish(&all, MO_OK, &text));
    mo_status status = mo_error(MO_E_CONFIG, "unknown key; expected %s", text);
    mo_free(text);
    return status;
}

mo_status mo__spec_map(const mo__spec_reader *r, const mo__doc *map, const mo__key *keys, int n_keys,
                       const char *const *others, void *owner)
{
    enum { MOST = 16 };
    const char *names[MOST];
    size_t count = 0;
    for (int k = 0; k < n_keys; k++) names[count++] = keys[k].name;
    for (; others && *others; others++) names[count++] = *others;
    if (map->kind != MO__DOC_MAP)
        return mo__spec_at(
            r, map,
            mo_error(MO_E_CONFIG, "%s stands where {%s: ...} should", mo__doc_describe(map), names[0]));
    for (int i = 0; i < map->count; i++) {
        const mo__doc *item = &map->items[i];
        int k = 0;
        while (k < (int)count && strcmp(names[k], item->name) != 0) k++;
        if (k == (int)count) return mo__spec_at(r, item, mo__spec_unknown(item->name, names, count));
        if (k < n_keys) MO_TRY(mo__spec_value(r, item, &keys[k], owner));
    }
    return MO_OK;
}

mo_status mo__spec_config(const mo__spec_reader *r, const mo__doc *doc, const char *text, char **out)
{
    if (!*text) return mo__spec_at(r, doc, mo_error(MO_E_CONFIG, "no path is given; name a config"));
    char *dir = mo_path_dir(r->origin);
    *out = dir ? mo_path_join(strchr(r->origin, '/') ? dir : "", text) : NULL;
    mo_free(dir);
    if (!*out) return MO_E_MEMORY;
    if (mo_path_exists(*out)) return MO_OK;
    return mo__spec_at(r, doc, mo_error(MO_E_NOT_FOUND, "there is no %s", *out));
}

/* ---- keys ---- */

bool mo__match_sets(const char *key)
{
    return strcmp(key, "model.intermediate_size") == 0 || strcmp(key, "model.moe_intermediate_size") == 0;
}

static const char *const ends[] = {"train.steps", "train.tokens", "train.seconds"};

static bool ends_trials(const char *name)
{
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (strcmp(name, ends[i]) == 0) return true;
    return false;
}

/* Why no experiment may set it, or NULL. */
static const char *objection(const mo_lab_spec *spec, const mo__key *key, bool varied)
{
    bool budget = spec->budget.steps > 0 || spec->budget.tokens > 0 || spec->budget.flops > 0;
    if (mo__key_in_section(key, "run"))
        return "every trial has a name and a folder of its own; seeds has the seeds, and --jobs shares out "
               "the "
               "threads";
    if (budget && ends_trials(key->name)) return "budget says when trials end; keep one";
    if (!varied) return NULL;
    if (mo__key_in_section(key, "data"))
        return "all trials learn from the same data, or their losses could not be compared";
    if (mo__key_in_section(key, "eval"))
        return "all trials are evaluated alike, or their losses could not be compared";
    if (strcmp(key->name, "train.seconds") == 0)
        return "trials end by steps, so that they are the same bits again";
    return NULL;
}

mo_status mo__spec_config_key(const mo__spec_reader *r, const mo__doc *doc, const char *name, bool varied,
                              int *key)
{
    mo_status status = mo__setting_find(name, key);
    if (status == MO_OK) {
        const char *why = objection(r->spec, &mo__keys[*key], varied);
        if (why) status = mo_error(MO_E_CONFIG, "%s cannot be set here: %s", name, why);
    }
    return status == MO_OK ? MO_OK : mo__spec_at(r, doc, status);
}

mo_status mo__spec_refuse_section(const mo__spec_reader *r, const mo__doc *item)
{
    const char *leaf = item->count > 0 ? item->items[0].name : "KEY";
    return mo__spec_at(r, item,
                       mo_error(MO_E_CONFIG, "keys are written with their section here: %s.%s: ...",
                                mo__show(item->name).text, mo__show(leaf).text));
}

static mo_status read_setting(const mo__spec_reader *r, const mo__doc *item, mo_lab_settings *out)
{
    int key;
    char *word = NULL;
    if (item->kind == MO__DOC_MAP && mo__section_find(item->name) >= 0)
        return mo__spec_refuse_section(r, item);
    MO_TRY(mo__spec_config_key(r, item, item->name, false, &key));
    MO_TRY(mo__doc_word(item, &word));
    mo_status status = mo__setting_check(key, word, NULL);
    if (status != MO_OK)
        mo__spec_at(r, item, status);
    else
        status = mo__settings_put(out, item->name, word);
    mo_free(word);
    return status;
}

mo_status mo__spec_settings(const mo__spec_reader *r, const mo__doc *map, mo_lab_settings *out)
{
    if (map->kind != MO__DOC_MAP)
        return mo__spec_at(
            r, map,
            mo_error(MO_E_CONFIG, "%s stands where {section.key: value, ...} should", mo__doc_describe(map)));
    for (int i = 0; i < map->count; i++) MO_TRY(read_setting(r, &map->items[i], out));
    return MO_OK;
}

/* ---- lists of values ---- */

static mo_status add_value(int key, const mo__doc *doc, mo__word_list *canonical, mo__word_list *out)
{
    char *word = NULL, *same = NULL;
    MO_TRY(mo__doc_word(doc, &word));
    mo_status status = mo__setting_check(key, word, &same);
    for (int i = 0; status == MO_OK && i < canonical->count; i++)
        if (strcmp(canonical->at[i], same) == 0)
            status = mo_error(MO_E_CONFIG, "%s stands there twice", mo__show(word).text);
    if (status != MO_OK) {
        mo_free(same);
        mo_free(word);
        return status;
    }
    status = mo__word_list_add(canonical, same);
    if (status == MO_OK) return mo__word_list_add(out, word);
    mo_free(word);
    return status;
}

mo_status mo__spec_values(const mo__spec_reader *r, const mo__doc *doc, int key, bool one, mo__word_list *out)
{
    mo__word_list canonical = {0};
    mo_status status = MO_OK;
    bool single = one && doc->kind == MO__DOC_VALUE;
    if (!single && doc->kind != MO__DOC_LIST)
        return mo__spec_at(
            r, doc, mo_error(MO_E_CONFIG, "%s stands where a list of values should", mo__doc_describe(doc)));
    if (!single && doc->count == 0)
        return mo__spec_at(r, doc,
                           mo_error(MO_E_CONFIG, "the list is empty, so there would be no trial; give "
                                                 "values"));
    for (int i = 0; status == MO_OK && i < (single ? 1 : doc->count); i++) {
        const mo__doc *item = single ? doc : &doc->items[i];
        status = add_value(key, item, &canonical, out);
        if (status != MO_OK && !single) mo_error_context(status, "%s", mo__keys[key].name);
        if (status != MO_OK) mo__spec_at(r, item, status);
    }
    mo__word_list_free(&canonical);
    return status;
}

/* ---- numbers ---- */

mo__number_text mo__number_in_digits(double value, int digits)
{
    mo__number_text out;
    snprintf(out.text, sizeof out.text, "%.*g", digits, value);
    char *e = strchr(out.text, 'e');
    if (!e) return out;
    int exponent = atoi(e + 1); /* without the zero that C writes */
    snprintf(e, sizeof out.text - (size_t)(e - out.text), "e%d", exponent);
    return out;
}

/* ---- configs ---- */

mo_status mo__spec_common(const mo_lab_spec *spec, mo_lab_settings *out)
{
    bool budget = spec->budget.steps > 0 || spec->budget.tokens > 0 || spec->budget.flops > 0;
    MO_TRY(mo__settings_put_all(out, &spec->set));
    return budget ? mo__settings_put_steps(out, spec->budget.steps > 0 ? spec->budget.steps : 1) : MO_OK;
}

mo_status mo__spec_load_config(const mo_lab_spec *spec, const char *path, mo_run_config *out)
{
    mo_lab_settings common = {0};
    mo_status status = mo__spec_common(spec, &common);
    if (status == MO_OK) status = mo__settings_load(path, &common, out);
    mo__settings_free(&common);
    return status;
}
