/* variant.c -- one variant: its config, its width, its length, its counts. */
#include "variant.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "config/setting.h"
#include "spec.h"

void mo__variant_free(mo_lab_variant *v)
{
    mo_free(v->name);
    mo_free(v->config);
    mo_free(v->matched_to);
    mo__settings_free(&v->settings);
    mo__settings_free(&v->chosen);
    *v = (mo_lab_variant){0};
}

/* ---- length ---- */

static bool has_budget(const mo_lab_spec *s)
{
    return s->budget.steps > 0 || s->budget.tokens > 0 || s->budget.flops > 0;
}

static mo_status count_steps(const mo_lab_spec *s, const mo_run_config *c, mo_lab_variant *v)
{
    enum { MOST_STEPS = 1000000000 };
    double steps = s->budget.tokens > 0 ? ceil((double)s->budget.tokens / (double)v->step_tokens)
                   : s->budget.flops > 0
                       ? fmax(1, round(s->budget.flops / v->flops_per_token / (double)v->step_tokens))
                       : (double)mo_run_steps(c);
    if (steps > MOST_STEPS)
        return mo_error(MO_E_RANGE, "the budget is %.4g steps of %lld tokens; at most %d", steps,
                        (long long)v->step_tokens, MOST_STEPS);
    v->steps = (int64_t)steps;
    return mo__settings_put_steps(&v->settings, v->steps);
}

/* Trials end at a step that is known before, so that they are the same bits again and can be ranked. */
static mo_status check_ends(const mo_lab_spec *s, const mo_run_config *c)
{
    if (!has_budget(s) && c->train.seconds > 0)
        return mo_error(
            MO_E_CONFIG,
            "train.seconds %g ends trials by the clock, which is never the same twice; give budget: "
            "{steps: N}, or set train.seconds: 0 and train.steps",
            c->train.seconds);
    if (c->eval.patience > 0)
        return mo_error(MO_E_CONFIG, "eval.patience %lld ends trials before the others; set eval.patience: 0",
                        (long long)c->eval.patience);
    return MO_OK;
}

/* ---- the base ---- */

static mo_status know_vocabulary(mo__variant_maker *m, mo_run_config *c)
{
    int64_t ids = m->data.sources[0].file->vocab_size;
    if (c->model.vocab_size == 0) c->model.vocab_size = ids;
    if (c->model.vocab_size >= ids) return MO_OK;
    return mo_error(MO_E_MISMATCH, "%s has token ids up to %lld, but model.vocab_size is %lld",
                    m->data.sources[0].file->path, (long long)ids - 1, (long long)c->model.vocab_size);
}

mo_status mo__variant_base_load(mo__variant_maker *m, const char *path, mo__variant_base *out)
{
    out->path = path;
    mo_status status = mo__spec_load_config(m->spec, path, &out->config);
    if (status == MO_OK && m->data.count == 0) {
        status = mo_run_data_open(&out->config, &m->data);
        if (status != MO_OK) m->data = (mo_run_data){0};
    }
    if (status == MO_OK) status = know_vocabulary(m, &out->config);
    return status;
}

void mo__variant_base_free(mo__variant_base *base)
{
    mo_config_free(&base->config);
}

/* ---- settings ---- */

static mo_status put_zero(const mo_lab_settings *own, const char *key, double value, mo_lab_settings *out)
{
    return value == 0 || mo__settings_find(own, key) ? MO_OK : mo__settings_put(out, key, "0");
}

/* A dense variant of a base with experts has no router to balance, and no experts to stand beside. */
static mo_status put_dense(const mo_run_config *base, const mo_lab_settings *own, mo_lab_settings *out)
{
    const char *experts = mo__settings_find(own, "model.num_local_experts");
    if (experts ? strtod(experts, NULL) != 0 : base->model.num_local_experts != 0) return MO_OK;
    for (int i = 0; i < MO_BALANCE_LOSSES; i++) {
        char key[64];
        snprintf(key, sizeof key, "balance.%s", mo_balance_names[i]);
        MO_TRY(put_zero(own, key, mo_balance_coefficient(&base->balance, i), out));
    }
    MO_TRY(put_zero(own, "balance.bias_update_rate", base->balance.bias_update_rate, out));
    return put_zero(own, "model.n_shared_experts", (double)base->model.n_shared_experts, out);
}

static mo_status put_settings(mo__variant_maker *m, const mo__variant_base *base, const mo_lab_settings *own,
                              mo_lab_settings *out)
{
    MO_TRY(mo__spec_common(m->spec, out));
    MO_TRY(put_dense(&base->config, own, out));
    return mo__settings_put_all(out, own);
}

/* ---- matching ---- */

typedef struct clock {
    mo__variant_maker *m;
    const mo_lab_variant *variant;
} clock;

static mo_status time_width(const char *key, int64_t width, double *seconds, void *user)
{
    clock *c = user;
    mo_lab_settings settings = {0};
    mo_status status = mo__settings_put_all(&settings, &c->variant->settings);
    if (status == MO_OK) status = mo__settings_put_number(&settings, key, width);
    if (status == MO_OK) *seconds = c->m->options->time(c->variant->config, &settings, c->m->options->user);
    mo__settings_free(&settings);
    if (status == MO_OK && isnan(*seconds))
        status =
            mo_error(MO_E_CONFIG, "match wall_clock: the trial of %s %lld, which was to be timed, failed",
                     key, (long long)width);
    return status;
}

static mo_status match(mo__variant_maker *m, const mo__variant_target *target, mo_lab_variant *v,
                       mo_run_config *c)
{
    mo__matched matched;
    clock user = {m, v};
    if (target->match == MO_MATCH_NONE) return MO_OK;
    MO_TRY(target->match == MO_MATCH_WALL_CLOCK
               ? mo__match_measure(c, target->wanted, time_width, &user, &matched)
               : mo__match_solve(c, target->match, target->wanted, &matched));
    v->match = target->match;
    v->matched_to = mo_strdup(target->to);
    if (!v->matched_to) return MO_E_MEMORY;
    v->wanted = matched.wanted;
    v->got = matched.got;
    bool experts = strcmp(matched.key, "model.moe_intermediate_size") == 0;
    *(experts ? &c->model.moe_intermediate_size : &c->model.intermediate_size) = matched.width;
    return mo__settings_put_number(&v->settings, matched.key, matched.width);
}

/* ---- counts ---- */

static mo_status count(const mo_run_config *c, mo_model_count *out)
{
    mo_model *model;
    MO_TRY(mo_model_create_tuned(&c->model, &c->tuning, &model));
    *out = mo_model_counts(model, c->train.sequence_length);
    mo_model_free(model);
    return MO_OK;
}

struct mo__known_memory {
    char hash[33];
    uint64_t bytes;
};

/* Rates and schedules take no memory, nor does it matter how large a coefficient is. */
static bool takes_memory(const mo__key *key)
{
    static const char *const none[] = {"run", "optimizer", "schedule", "eval", "sample"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        if (mo__key_in_section(key, none[i])) return strcmp(key->name, "optimizer.groups") == 0;
    return true;
}

static mo_status memory_key(const mo_run_config *c, char hash[33])
{
    mo__buffer text = {0};
    char *joined;
    mo_status status = MO_OK;
    for (int i = 0; i < mo__key_count && status == MO_OK; i++) {
        const mo__key *key = &mo__keys[i];
        if (!takes_memory(key)) continue;
        bool coefficient = mo__key_in_section(key, "balance") && key->type == MO__REAL;
        if (coefficient)
            mo__buffer_add(&text, "%d", *(const double *)(const void *)((const char *)c + key->offset) > 0);
        else
            status = mo__value_add(key, c, &text);
        mo__buffer_add(&text, "\n");
    }
    MO_TRY(mo__buffer_finish(&text, status, &joined));
    mo_hash_bytes(joined, strlen(joined), hash);
    mo_free(joined);
    return MO_OK;
}

static mo_status know_memory(mo__variant_maker *m, const char *hash, uint64_t bytes)
{
    if ((m->n_known & (m->n_known - 1)) == 0) {
        size_t room = m->n_known ? 2 * (size_t)m->n_known : 1;
        struct mo__known_memory *larger = mo_realloc(m->known, room * sizeof *larger);
        if (!larger) return MO_E_MEMORY;
        m->known = larger;
    }
    struct mo__known_memory *known = &m->known[m->n_known++];
    memcpy(known->hash, hash, sizeof known->hash);
    known->bytes = bytes;
    return MO_OK;
}

static mo_status estimate_memory(mo__variant_maker *m, const mo_run_config *c, uint64_t *out)
{
    char hash[33];
    mo_run_memory memory;
    MO_TRY(memory_key(c, hash));
    for (int i = 0; i < m->n_known; i++)
        if (memcmp(m->known[i].hash, hash, sizeof hash) == 0) {
            *out = m->known[i].bytes;
            return MO_OK;
        }
    MO_TRY(mo_run_memory_estimate(c, mo_run_data_bytes(&m->data, c->train.sequence_length), &memory));
    *out = memory.total;
    return know_memory(m, hash, memory.total);
}

static mo_status measure(mo__variant_maker *m, const mo_run_config *c, const mo_model_count *n,
                         mo_lab_variant *v)
{
    v->step_tokens = mo_run_step_tokens(c);
    v->total = n->total;
    v->active = n->active;
    v->experts = c->model.num_local_experts;
    v->flops_per_token = n->flops_per_token;
    MO_TRY(count_steps(m->spec, c, v));
    return estimate_memory(m, c, &v->memory_bytes);
}

/* ---- the whole ---- */

/* A config that no run would take is an error, unless a rule leaves it out. */
static mo_status refuse(mo__variant_maker *m, const mo__variant_base *base, const mo_lab_settings *settings,
                        mo_status status, bool *taken)
{
    char *problem = mo_strdup(mo_last_error());
    if (!problem) return MO_E_MEMORY;
    mo_status ruled = mo__rules_hold(m->spec, base, settings, NULL, NULL, taken);
    if (ruled == MO_OK && *taken) ruled = mo_error(status, "%s", problem);
    mo_free(problem);
    return ruled;
}

static mo_status finish(mo__variant_maker *m, const mo__variant_base *base, const mo__variant_target *target,
                        mo_lab_variant *v, mo_run_config *c, bool *taken)
{
    mo_model_count n;
    MO_TRY(know_vocabulary(m, c));
    MO_TRY(mo__rules_hold(m->spec, base, &v->settings, c, NULL, taken));
    if (!*taken) return MO_OK;
    MO_TRY(check_ends(m->spec, c));
    MO_TRY(match(m, target, v, c));
    MO_TRY(count(c, &n));
    MO_TRY(mo__rules_hold(m->spec, base, &v->settings, c, &n, taken));
    return *taken ? measure(m, c, &n, v) : MO_OK;
}

mo_status mo__variant_make(mo__variant_maker *m, const mo__variant_base *base, const mo_lab_settings *own,
                           const mo__variant_target *target, mo_lab_variant *out, mo_run_config *config,
                           bool *taken)
{
    *taken = true;
    *out = (mo_lab_variant){.config = mo_strdup(base->path), .wanted = (double)NAN, .got = (double)NAN};
    mo_status status = out->config ? put_settings(m, base, own, &out->settings) : MO_E_MEMORY;
    if (status == MO_OK) {
        status = mo__settings_load(base->path, &out->settings, config);
        if (status == MO_OK) {
            status = finish(m, base, target, out, config, taken);
            if (status != MO_OK || !*taken) mo_config_free(config);
        } else if (status != MO_E_MEMORY) {
            status = refuse(m, base, &out->settings, status, taken);
        }
    }
    if (status != MO_OK || !*taken) mo__variant_free(out);
    return status;
}

void mo__variant_maker_free(mo__variant_maker *m)
{
    if (m->data.count > 0) mo_run_data_close(&m->data);
    mo_free(m->known);
}
