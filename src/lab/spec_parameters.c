/* spec_parameters.c -- what a sweep varies: lists, ranges, conditions; and its rules. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "config/setting.h"
#include "rule.h"
#include "spec.h"

enum { MOST_VALUES = 10000, LINEAR_DIGITS = 6, LOG_DIGITS = 4 };

/* {from: 1e-4, to: 1e-2, log: true, count: 5}, as it was read. */
typedef struct range {
    char *from_text, *to_text;
    double from, to, step;
    int64_t count;
    bool log;
} range;

static const mo__key range_keys[] = {
    {"from", MO__STRING, offsetof(range, from_text), NULL, 1, 60, 0, NULL, "", NULL, NULL},
    {"to", MO__STRING, offsetof(range, to_text), NULL, 1, 60, 0, NULL, "", NULL, NULL},
    {"log", MO__BOOL, offsetof(range, log), "false", 0, 0, 0, NULL, "", NULL, NULL},
    {"count", MO__INT, offsetof(range, count), NULL, 2, MOST_VALUES, 0, NULL, "values", NULL, NULL},
    {"step", MO__REAL, offsetof(range, step), NULL, 0, 1e15, MO__ABOVE_MIN, NULL, "", NULL, NULL},
};
static const char *const beside_range[] = {"when", NULL};

/* ---- ranges ---- */

static mo_status check_range(int key, const range *r)
{
    if (!r->from_text || !r->to_text)
        return mo_error(MO_E_CONFIG, "a range has from and to; %s is missing; a list is written [a, b]",
                        r->from_text ? "to" : "from");
    if (r->count > 0 && r->step > 0) return mo_error(MO_E_CONFIG, "count and step are both given; keep one");
    mo__key_type type = mo__keys[key].type;
    if (type != MO__INT && type != MO__REAL)
        return mo_error(MO_E_CONFIG, "%s is no number, so it has no range; list its values",
                        mo__keys[key].name);
    MO_TRY(mo__setting_check(key, r->from_text, NULL));
    MO_TRY(mo__setting_check(key, r->to_text, NULL));
    return MO_OK;
}

static mo_status check_ends(const range *r)
{
    if (!(r->from < r->to))
        return mo_error(MO_E_CONFIG, "from %s is not below to %s", r->from_text, r->to_text);
    if (r->log && r->from <= 0)
        return mo_error(MO_E_CONFIG, "from %s is not above 0, which log needs", r->from_text);
    if (r->log && r->step > 0)
        return mo_error(MO_E_CONFIG, "log goes by factors, which a step is not; give count");
    if (r->step > 0 && (r->to - r->from) / r->step > MOST_VALUES)
        return mo_error(MO_E_CONFIG, "step %g makes more than %d values; take a larger one", r->step,
                        MOST_VALUES);
    return MO_OK;
}

/* Value i of n. */
static mo__number_text value_of(const range *r, int i, int n, bool whole)
{
    double share = n > 1 ? (double)i / (n - 1) : 0;
    double value = r->step > 0 ? r->from + r->step * i
                   : r->log    ? r->from * pow(r->to / r->from, share)
                               : r->from + (r->to - r->from) * share;
    return mo__number_in_digits(whole ? round(value) : value, whole    ? 15
                                                              : r->log ? LOG_DIGITS
                                                                       : LINEAR_DIGITS);
}

static mo_status list_range(const range *r, int key, mo__word_list *out)
{
    bool whole = mo__keys[key].type == MO__INT;
    int n = r->step > 0 ? (int)floor((r->to - r->from) / r->step + 1e-9) + 1 : (int)r->count;
    for (int i = 0; i < n; i++) {
        mo__number_text number = value_of(r, i, n, whole);
        const char *text = i == 0 ? r->from_text : r->count > 0 && i == n - 1 ? r->to_text : number.text;
        if (i > 0 && !(strtod(out->at[i - 1], NULL) < strtod(text, NULL)))
            return mo_error(MO_E_CONFIG, "%s would stand there twice; ask for fewer values", text);
        MO_TRY(mo__setting_check(key, text, NULL));
        MO_TRY(mo__word_list_add(out, mo_strdup(text)));
    }
    return MO_OK;
}

static mo_status settle_range(const range *in, int key, mo_lab_parameter *p)
{
    range r = *in;
    mo__word_list values = {0};
    MO_TRY(check_range(key, &r));
    r.from = strtod(r.from_text, NULL);
    r.to = strtod(r.to_text, NULL);
    MO_TRY(check_ends(&r));
    p->from = r.from;
    p->to = r.to;
    p->logarithmic = r.log;
    p->whole = mo__keys[key].type == MO__INT;
    if (r.count == 0 && r.step <= 0) return MO_OK;
    mo_status status = list_range(&r, key, &values);
    p->values = values.at;
    p->count = values.count;
    return status;
}

static mo_status read_range(const mo__spec_reader *r, const mo__doc *doc, int key, mo_lab_parameter *p)
{
    range in = {0};
    if (mo__spec_find(doc, "min") || mo__spec_find(doc, "max"))
        return mo__spec_at(r, doc,
                           mo_error(MO_E_CONFIG, "a range is written {from: A, to: B}, not min and max"));
    mo_status status =
        mo__spec_map(r, doc, range_keys, sizeof range_keys / sizeof *range_keys, beside_range, &in);
    if (status == MO_OK) {
        status = settle_range(&in, key, p);
        if (status != MO_OK) mo__spec_at(r, doc, status);
    }
    if (status == MO_OK && p->count == 0 && r->spec->draws == 0)
        status =
            mo__spec_at(r, doc,
                        mo_error(MO_E_CONFIG, "a grid needs count or step; without, any number between is "
                                              "drawn by strategy random or halving with trials"));
    mo_free(in.from_text);
    mo_free(in.to_text);
    return status;
}

/* ---- conditions ---- */

static const mo_lab_parameter *find_parameter(const mo_lab_spec *spec, const char *key)
{
    for (int i = 0; i < spec->n_parameters; i++)
        if (strcmp(spec->parameters[i].key, key) == 0) return &spec->parameters[i];
    return NULL;
}

/* Each must be one that the parameter it hangs on can take. */
static mo_status check_condition(int key, const mo_lab_parameter *on, const mo__word_list *values)
{
    for (int i = 0; on->count > 0 && i < values->count; i++) {
        char *wanted = NULL;
        bool found = false;
        mo_status status = MO_OK;
        MO_TRY(mo__setting_check(key, values->at[i], &wanted));
        for (int v = 0; v < on->count && !found && status == MO_OK; v++) {
            char *value = NULL;
            status = mo__setting_check(key, on->values[v], &value);
            found = status == MO_OK && strcmp(value, wanted) == 0;
            mo_free(value);
        }
        mo_free(wanted);
        MO_TRY(status);
        if (!found)
            return mo_error(MO_E_CONFIG, "%s is no value of the parameter %s, so this would never hold",
                            values->at[i], on->key);
    }
    return MO_OK;
}

static mo_status read_condition(const mo__spec_reader *r, const mo__doc *doc, mo_lab_parameter *p)
{
    int key;
    mo__word_list values = {0};
    if (doc->kind != MO__DOC_MAP || doc->count != 1)
        return mo__spec_at(r, doc,
                           mo_error(MO_E_CONFIG, "expected one {section.key: value} or {section.key: "
                                                 "[a, b]}"));
    const mo__doc *item = &doc->items[0];
    MO_TRY(mo__spec_config_key(r, item, item->name, false, &key));
    const mo_lab_parameter *on = find_parameter(r->spec, item->name);
    if (!on && mo__spec_find(r->parameters, item->name))
        return mo__spec_at(
            r, item,
            mo_error(MO_E_CONFIG,
                     "is a parameter that stands below %s, and when names one that stands above: "
                     "move it up",
                     p->key));
    if (!on || on == p)
        return mo__spec_at(r, item,
                           mo_error(MO_E_CONFIG, "when names a parameter that stands above this one"));
    p->when.key = mo_strdup(item->name);
    mo_status status = p->when.key ? mo__spec_values(r, item, key, true, &values) : MO_E_MEMORY;
    if (status == MO_OK) {
        status = check_condition(key, on, &values);
        if (status != MO_OK) mo__spec_at(r, item, status);
    }
    p->when.values = values.at;
    p->when.count = values.count;
    return status;
}

/* ---- parameters ---- */

static mo_status read_values(const mo__spec_reader *r, const mo__doc *doc, int key, mo_lab_parameter *p)
{
    mo__word_list values = {0};
    mo_status status = mo__spec_values(r, doc, key, false, &values);
    p->values = values.at;
    p->count = values.count;
    return status;
}

static mo_status read_map(const mo__spec_reader *r, const mo__doc *doc, int key, mo_lab_parameter *p)
{
    static const char *const names[] = {"values", "when", NULL};
    const mo__doc *values = mo__spec_find(doc, "values"), *when = mo__spec_find(doc, "when");
    if (values) {
        mo_status status = mo__spec_map(r, doc, NULL, 0, names, NULL);
        MO_TRY(status);
        MO_TRY(read_values(r, values, key, p));
    } else {
        MO_TRY(read_range(r, doc, key, p));
    }
    return when ? read_condition(r, when, p) : MO_OK;
}

static mo_status read_parameter(mo__spec_reader *r, const mo__doc *doc)
{
    int key;
    mo_lab_spec *spec = r->spec;
    mo_lab_parameter *p = &spec->parameters[spec->n_parameters];
    if (doc->kind == MO__DOC_MAP && mo__section_find(doc->name) >= 0) return mo__spec_refuse_section(r, doc);
    MO_TRY(mo__spec_config_key(r, doc, doc->name, true, &key));
    if (mo__settings_find(&spec->set, doc->name))
        return mo__spec_at(r, doc, mo_error(MO_E_CONFIG, "is under set too; leave one of the two out"));
    if (spec->match != MO_MATCH_NONE && mo__match_sets(doc->name))
        return mo__spec_at(r, doc, mo_error(MO_E_CONFIG, "match decides it; leave one of the two out"));
    spec->n_parameters++;
    p->key = mo_strdup(doc->name);
    if (!p->key) return MO_E_MEMORY;
    if (doc->kind == MO__DOC_LIST) return read_values(r, doc, key, p);
    if (doc->kind == MO__DOC_MAP) return read_map(r, doc, key, p);
    return mo__spec_at(r, doc,
                       mo_error(MO_E_CONFIG, "one value varies nothing; write it under set, or a list of "
                                             "values here"));
}

mo_status mo__spec_read_parameters(mo__spec_reader *r, const mo__doc *doc)
{
    if (doc->kind != MO__DOC_MAP || doc->count == 0)
        return mo__spec_at(r, doc,
                           mo_error(MO_E_CONFIG, "expected {section.key: VALUES, ...}: what is varied"));
    r->spec->parameters = mo_calloc((size_t)doc->count, sizeof *r->spec->parameters);
    if (!r->spec->parameters) return MO_E_MEMORY;
    r->parameters = doc;
    for (int i = 0; i < doc->count; i++) MO_TRY(read_parameter(r, &doc->items[i]));
    return MO_OK;
}

/* ---- rules ---- */

mo_status mo__spec_read_rules(mo__spec_reader *r, const mo__doc *doc)
{
    static const mo__key text = {.name = "rules", .type = MO__STRING, .min = 1, .max = 1000};
    if (doc->kind != MO__DOC_LIST)
        return mo__spec_at(r, doc,
                           mo_error(MO_E_CONFIG,
                                    "%s stands where a list of rules should; write [\"a < "
                                    "b\"]",
                                    mo__doc_describe(doc)));
    r->spec->rules = mo_calloc((size_t)doc->count + 1, sizeof *r->spec->rules);
    if (!r->spec->rules) return MO_E_MEMORY;
    for (int i = 0; i < doc->count; i++) {
        char **rule = &r->spec->rules[r->spec->n_rules++];
        mo__rule_result result;
        MO_TRY(mo__spec_value(r, &doc->items[i], &text, rule));
        mo_status status = mo__rule_evaluate(*rule, NULL, NULL, &result);
        if (status == MO_OK) continue;
        mo_error_context(status, "rules: \"%s\"", mo__show(*rule).text);
        return mo__spec_at(r, &doc->items[i], status);
    }
    return MO_OK;
}
