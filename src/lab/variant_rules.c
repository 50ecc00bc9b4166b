/* variant_rules.c -- a spec's rules over one variant. */
#include <stdlib.h>
#include <string.h>

#include "config/setting.h"
#include "rule.h"
#include "variant.h"

typedef struct look {
    const mo__variant_base *base;
    const mo_lab_settings *own;
    const mo_run_config *config;
    const mo_model_count *counts;
} look;

/* The one way of writing the key's value. */
static mo_status text_of(const look *l, int key, char **out)
{
    if (l->config) return mo__setting_text(key, l->config, out);
    const char *value = mo__settings_find(l->own, mo__keys[key].name);
    return value ? mo__setting_check(key, value, out) : mo__setting_text(key, &l->base->config, out);
}

static bool is_number(int key, const char *text)
{
    mo__key_type type = mo__keys[key].type;
    bool numeric = type == MO__INT || type == MO__UINT64 || type == MO__REAL;
    return numeric && !(mo__keys[key].flags & MO__OPTIONAL && strcmp(text, mo__keys[key].initial) == 0);
}

/* Words without the quotes of texts. */
static void take_word(const char *text, mo__rule_value *out)
{
    bool quoted = *text == '"';
    size_t length = strlen(text) - (quoted ? 2 : 0);
    snprintf(out->word, sizeof out->word, "%.*s", (int)(length > 63 ? 63 : length), text + quoted);
}

static mo_status look_up(int key, int count, mo__rule_value *out, void *user)
{
    const look *l = user;
    char *text = NULL;
    if (key < 0) {
        out->known = l->counts;
        if (l->counts)
            out->number = count == MO__RULE_ACTIVE_PARAMS  ? (double)l->counts->active
                          : count == MO__RULE_TOTAL_PARAMS ? (double)l->counts->total
                                                           : l->counts->flops_per_token;
        return MO_OK;
    }
    MO_TRY(text_of(l, key, &text));
    out->known = true;
    if (is_number(key, text))
        out->number = strtod(text, NULL);
    else
        take_word(text, out);
    mo_free(text);
    return MO_OK;
}

mo_status mo__rules_hold(const mo_lab_spec *spec, const mo__variant_base *base, const mo_lab_settings *own,
                         const mo_run_config *config, const mo_model_count *counts, bool *out)
{
    mo_run_config resolved; /* shallow */
    look l = {base, own, config ? &resolved : NULL, counts};
    if (config) {
        resolved = *config;
        mo_model_config_resolve(&resolved.model);
    }
    *out = true;
    for (int i = 0; i < spec->n_rules && *out; i++) {
        mo__rule_result result;
        mo_status status = mo__rule_evaluate(spec->rules[i], look_up, &l, &result);
        if (status != MO_OK) return mo_error_context(status, "rule \"%s\"", spec->rules[i]);
        *out = result != MO__RULE_BROKEN;
    }
    return MO_OK;
}
