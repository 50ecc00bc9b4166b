/* spec_variants.c -- what a comparison compares, and what it tunes. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "config/setting.h"
#include "spec.h"

enum { MOST_ENTRIES = 100, TUNED_DIGITS = 4 };

/* ---- variants ---- */

/* A name is a folder's, and the first part of trials' names. */
static mo_status check_name(const char *name)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
    size_t length = strlen(name);
    if (length >= 1 && length <= 60 && name[0] != '-' && strspn(name, allowed) == length) return MO_OK;
    return mo_error(MO_E_CONFIG,
                    "the name of a variant has 1 to 60 of the letters a-z, A-Z, the digits, _ and -, "
                    "and does not begin with -");
}

static const mo__key entry_keys[] = {
    {"config", MO__STRING, offsetof(mo_lab_entry, config), NULL, 1, 4096, 0, NULL, "", NULL, NULL},
    {"match", MO__ENUM, offsetof(mo_lab_entry, match), "none", 0, 0, 0, mo__match_names, "", NULL, NULL},
    {"to", MO__STRING, offsetof(mo_lab_entry, to), NULL, 1, 60, 0, NULL, "", NULL, NULL},
};
static const char *const beside_entry[] = {"set", NULL};

static mo_status find_config(const mo__spec_reader *r, const mo__doc *doc, mo_lab_entry *e)
{
    char *given = e->config;
    e->config = NULL;
    if (!given) {
        e->config = mo_strdup(r->spec->base);
        return e->config ? MO_OK : MO_E_MEMORY;
    }
    mo_status status = mo__spec_config(r, doc, given, &e->config);
    mo_free(given);
    return status;
}

static mo_status check_matching(const mo__spec_reader *r, const mo__doc *doc, const mo_lab_entry *e)
{
    if (e->match == MO_MATCH_NONE && e->to)
        return mo__spec_at(r, doc,
                           mo_error(MO_E_CONFIG, "to is given without match: active_params, total_params, "
                                                 "flops or wall_clock"));
    if (e->match != MO_MATCH_NONE && !e->to)
        return mo__spec_at(r, doc, mo_error(MO_E_CONFIG, "match needs to: the name of another variant"));
    for (int i = 0; e->match != MO_MATCH_NONE && i < e->settings.count; i++)
        if (mo__match_sets(e->settings.at[i].key))
            return mo__spec_at(
                r, doc,
                mo_error(MO_E_CONFIG, "match decides %s; leave one of the two out", e->settings.at[i].key));
    return MO_OK;
}

static mo_status read_entry(mo__spec_reader *r, const mo__doc *doc)
{
    mo_lab_entry *e = &r->spec->entries[r->spec->n_entries++];
    mo_status status = check_name(doc->name);
    if (status != MO_OK) return mo__spec_at(r, doc, status);
    e->name = mo_strdup(doc->name);
    if (!e->name) return MO_E_MEMORY;
    if (mo__doc_is_null(doc)) return find_config(r, doc, e);
    MO_TRY(mo__spec_map(r, doc, entry_keys, 3, beside_entry, e));
    const mo__doc *set = mo__spec_find(doc, "set");
    MO_TRY(find_config(r, doc, e));
    if (set) MO_TRY(mo__spec_settings(r, set, &e->settings));
    return check_matching(r, doc, e);
}

static const mo_lab_entry *find_entry(const mo_lab_spec *spec, const char *name)
{
    for (int i = 0; i < spec->n_entries; i++)
        if (strcmp(spec->entries[i].name, name) == 0) return &spec->entries[i];
    return NULL;
}

static mo_status refuse_name(const mo_lab_spec *spec, const char *name)
{
    const char *names[MOST_ENTRIES];
    for (int i = 0; i < spec->n_entries; i++) names[i] = spec->entries[i].name;
    const char *nearest = mo_nearest_name(name, names, (size_t)spec->n_entries);
    return mo_error(MO_E_CONFIG, "%s is none of the variants%s%s%s", mo__show(name).text,
                    nearest ? "; did you mean " : "", nearest ? nearest : "", nearest ? "?" : "");
}

static mo_status check_target(const mo_lab_spec *spec, const mo_lab_entry *e)
{
    if (!e->to) return MO_OK;
    const mo_lab_entry *to = find_entry(spec, e->to);
    if (!to) return mo_error_context(refuse_name(spec, e->to), "to");
    if (to == e) return mo_error(MO_E_CONFIG, "is matched to itself");
    if (to->match != MO_MATCH_NONE)
        return mo_error(MO_E_CONFIG, "to: %s is matched itself; match both to %s", e->to, to->to);
    return MO_OK;
}

mo_status mo__spec_read_variants(mo__spec_reader *r, const mo__doc *doc)
{
    mo_lab_spec *spec = r->spec;
    if (doc->kind != MO__DOC_MAP || doc->count < 2 || doc->count > MOST_ENTRIES)
        return mo__spec_at(
            r, doc, mo_error(MO_E_CONFIG, "expected {NAME: {set: ...}, ...}, 2 to %d of them", MOST_ENTRIES));
    spec->entries = mo_calloc((size_t)doc->count, sizeof *spec->entries);
    if (!spec->entries) return MO_E_MEMORY;
    for (int i = 0; i < doc->count; i++) MO_TRY(read_entry(r, &doc->items[i]));
    for (int i = 0; i < doc->count; i++) {
        mo_status status = check_target(spec, &spec->entries[i]);
        if (status != MO_OK) return mo__spec_at(r, &doc->items[i], status);
    }
    return MO_OK;
}

/* ---- the reference ---- */

mo_status mo__spec_read_reference(mo__spec_reader *r, const mo__doc *doc)
{
    static const mo__key name = {.name = "reference", .type = MO__STRING, .min = 1, .max = 60};
    MO_TRY(mo__spec_value(r, doc, &name, &r->spec->reference));
    if (find_entry(r->spec, r->spec->reference)) return MO_OK;
    return mo__spec_at(r, doc, refuse_name(r->spec, r->spec->reference));
}

/* By what its settings say, and else its config with what is set for all. */
static mo_status is_dense(const mo__spec_reader *r, const mo_lab_entry *e, bool *dense)
{
    const char *experts = mo__settings_find(&e->settings, "model.num_local_experts");
    *dense = experts ? strtod(experts, NULL) == 0 : r->config.model.num_local_experts == 0;
    if (experts || strcmp(e->config, r->spec->base) == 0) return MO_OK;
    mo_run_config config;
    mo_status status = mo__spec_load_config(r->spec, e->config, &config);
    if (status != MO_OK)
        return mo_error_context(status, "%s: variant %s, with what is set", r->origin, e->name);
    *dense = config.model.num_local_experts == 0;
    mo_config_free(&config);
    return MO_OK;
}

mo_status mo__spec_choose_reference(mo__spec_reader *r)
{
    mo_lab_spec *spec = r->spec;
    const char *name = spec->entries[0].name;
    for (int i = 0; i < spec->n_entries; i++) {
        bool dense;
        MO_TRY(is_dense(r, &spec->entries[i], &dense));
        if (!dense) continue;
        name = spec->entries[i].name;
        break;
    }
    spec->reference = mo_strdup(name);
    return spec->reference ? MO_OK : MO_E_MEMORY;
}

/* ---- tuning ---- */

static const mo__key tune_keys[] = {
    {"parameter", MO__STRING, offsetof(mo_lab_spec, tune.key), NULL, 1, 100, 0, NULL, "", NULL, NULL},
    {"steps", MO__INT, offsetof(mo_lab_spec, tune.steps), "0", 1, 1e9, 0, NULL, "steps", NULL, NULL},
};
static const char *const beside_tune[] = {"values", NULL};

/* The base's learning rate times 1/3, 1 and 3. */
static mo_status add_rates(mo__spec_reader *r, int key, mo__word_list *out)
{
    double rate = r->config.optimizer.learning_rate;
    for (int i = -1; i <= 1; i++) {
        mo__number_text text = mo__number_in_digits(rate * pow(3, i), TUNED_DIGITS);
        MO_TRY(mo__setting_check(key, text.text, NULL));
        MO_TRY(mo__word_list_add(out, mo_strdup(text.text)));
    }
    return MO_OK;
}

/* How a model is trained, not what it is or reads: so variants stay matched. Values go into the names of
 * trials. */
static mo_status check_tuned_key(int key)
{
    static const char *const sections[] = {"optimizer", "schedule", "balance"};
    const mo__key *k = &mo__keys[key];
    if (k->type == MO__LIST || k->type == MO__STRING)
        return mo_error(MO_E_CONFIG, "%s is %s; what is tuned is a number, a name or a truth value", k->name,
                        mo__value_kind(k));
    for (size_t i = 0; i < sizeof sections / sizeof *sections; i++)
        if (mo__key_in_section(k, sections[i])) return MO_OK;
    return mo_error(
        MO_E_CONFIG,
        "%s is not tuned: what a variant is, and what it reads, stays; keys of optimizer, schedule "
        "and balance can be, and others are variants of their own",
        k->name);
}

static mo_status settle_tune(mo__spec_reader *r, const mo__doc *doc, const mo__doc *values)
{
    int key;
    mo__word_list texts = {0};
    mo_lab_spec *spec = r->spec;
    if (!spec->tune.key)
        return mo__spec_at(r, doc, mo_error(MO_E_CONFIG, "parameter is not given: the key that is tuned"));
    MO_TRY(mo__spec_config_key(r, doc, spec->tune.key, true, &key));
    bool rate = strcmp(spec->tune.key, "optimizer.learning_rate") == 0;
    mo_status status = check_tuned_key(key);
    if (status == MO_OK && !values && !rate)
        status =
            mo_error(MO_E_CONFIG, "values are not given; only for optimizer.learning_rate there is a choice: "
                                  "the base's times 1/3, 1 and 3");
    if (status == MO_OK && !values) status = add_rates(r, key, &texts);
    if (status != MO_OK) mo__spec_at(r, doc, status);
    if (status == MO_OK && values) status = mo__spec_values(r, values, key, false, &texts);
    spec->tune.values = texts.at;
    spec->tune.count = texts.count;
    return status;
}

mo_status mo__spec_read_tune(mo__spec_reader *r, const mo__doc *doc)
{
    mo_lab_spec *spec = r->spec;
    bool rate = doc->kind == MO__DOC_VALUE && (strcmp(doc->text, "learning_rate") == 0 ||
                                               strcmp(doc->text, "optimizer.learning_rate") == 0);
    if (rate) {
        spec->tune.key = mo_strdup("optimizer.learning_rate");
        return spec->tune.key ? settle_tune(r, doc, NULL) : MO_E_MEMORY;
    }
    if (doc->kind == MO__DOC_VALUE)
        return mo__spec_at(r, doc,
                           mo_error(MO_E_CONFIG, "expected learning_rate, or {parameter: KEY, values: [a, "
                                                 "b]}"));
    MO_TRY(mo__spec_map(r, doc, tune_keys, 2, beside_tune, spec));
    if (spec->budget.steps > 0 && spec->tune.steps > spec->budget.steps)
        return mo__spec_at(
            r, doc,
            mo_error(MO_E_CONFIG,
                     "steps %lld are more than the budget's %lld; a try is no longer than a trial",
                     (long long)spec->tune.steps, (long long)spec->budget.steps));
    return settle_tune(r, doc, mo__spec_find(doc, "values"));
}
