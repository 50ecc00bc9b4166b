/* report_json.c -- experiments and runs as JSON. */
#include "report_json.h"

#include <math.h>

#include "base/lock_file.h"
#include "json_out.h"
#include "lab/collect.h"
#include "lab/match.h"
#include "lab/run_facts.h"

static const char *const stages[] = {"tune", "main", "timing"};
static const char *const states[] = {"waiting", "running", "done", "failed"};
static const char *const strategies[] = {"grid", "random", "halving"};
static const char *const verdicts[] = {"unknown", "noise", "better", "worse"};
static const char *const axes[] = {"tokens", "flops", "seconds"};

static json_t *text_or_null(const char *text)
{
    return text ? mo__json_text(text) : json_null();
}

/* ---- trials ---- */

static json_t *evaluation_json(const mo_lab_evaluation *e)
{
    json_t *o = json_object();
    mo__json_set(o, "step", mo__json_integer(e->step));
    mo__json_set(o, "tokens", mo__json_integer(e->tokens));
    mo__json_set(o, "flops", mo__json_real(e->flops));
    mo__json_set(o, "seconds", mo__json_real(e->seconds));
    mo__json_set(o, "train_loss", mo__json_real(e->train_loss));
    mo__json_set(o, "validation_loss", mo__json_real(e->validation_loss));
    return o;
}

static json_t *evaluations_json(const mo_lab_trial *t)
{
    json_t *list = json_array();
    for (int i = 0; i < t->n_evaluations; i++) mo__json_add(list, evaluation_json(&t->evaluations[i]));
    return list;
}

/* Above what JSON's readers take for whole numbers, its digits as a text. */
static json_t *seed_json(uint64_t seed)
{
    char digits[24];
    snprintf(digits, sizeof digits, "%llu", (unsigned long long)seed);
    return seed <= INT64_MAX ? mo__json_integer((int64_t)seed) : mo__json_text(digits);
}

static json_t *trial_json(const mo_lab_trial *t, const char *variant)
{
    json_t *o = json_object();
    mo__json_set(o, "name", mo__json_text(t->name));
    mo__json_set(o, "dir", mo__json_text(t->dir));
    mo__json_set(o, "variant", text_or_null(variant));
    mo__json_set(o, "stage", mo__json_text(stages[t->stage]));
    mo__json_set(o, "seed", seed_json(t->seed));
    mo__json_set(o, "tuned", text_or_null(t->tuned));
    mo__json_set(o, "rung", mo__json_integer(t->rung));
    mo__json_set(o, "target_step", mo__json_integer(t->target_step));
    mo__json_set(o, "step", mo__json_integer(t->step));
    mo__json_set(o, "state", mo__json_text(states[t->state]));
    mo__json_set(o, "message", text_or_null(t->message));
    mo__json_set(o, "started", mo__json_real(t->started));
    mo__json_set(o, "ended", mo__json_real(t->ended));
    mo__json_set(o, "validation_loss", mo__json_real(t->loss));
    mo__json_set(o, "seconds", mo__json_real(t->seconds));
    mo__json_set(o, "step_seconds", mo__json_real(t->step_seconds));
    mo__json_set(o, "max_vio", mo__json_real(t->max_vio));
    mo__json_set(o, "entropy", mo__json_real(t->entropy));
    mo__json_set(o, "dropped", mo__json_real(t->dropped));
    mo__json_set(o, "evaluations", evaluations_json(t));
    return o;
}

/* ---- variants ---- */

static json_t *settings_json(const mo_lab_settings *settings)
{
    json_t *o = json_object();
    for (int i = 0; i < settings->count; i++)
        mo__json_set(o, settings->at[i].key, mo__json_text(settings->at[i].value));
    return o;
}

static json_t *estimate_json(const mo_estimate *e)
{
    json_t *o = json_object();
    mo__json_set(o, "mean", mo__json_real(e->mean));
    mo__json_set(o, "deviation", mo__json_real(e->deviation));
    mo__json_set(o, "low", mo__json_real(e->low));
    mo__json_set(o, "high", mo__json_real(e->high));
    mo__json_set(o, "count", mo__json_integer(e->count));
    return o;
}

static json_t *match_json(const mo_lab_variant *v)
{
    if (v->match == MO_MATCH_NONE) return json_null();
    json_t *o = json_object();
    mo__json_set(o, "by", mo__json_text(mo__match_names[v->match]));
    mo__json_set(o, "to", text_or_null(v->matched_to));
    mo__json_set(o, "wanted", mo__json_real(v->wanted));
    mo__json_set(o, "got", mo__json_real(v->got));
    return o;
}

/* What it is, and what was found of it. */
static json_t *variant_json(const mo_lab_variant *v, const mo_variant_answer *a)
{
    json_t *o = json_object(), *parameters = json_object();
    mo__json_set(parameters, "total", mo__json_integer(v->total));
    mo__json_set(parameters, "active", mo__json_integer(v->active));
    mo__json_set(o, "name", mo__json_text(v->name));
    mo__json_set(o, "config", mo__json_text(v->config));
    mo__json_set(o, "settings", settings_json(&v->settings));
    mo__json_set(o, "chosen", settings_json(&v->chosen));
    mo__json_set(o, "match", match_json(v));
    mo__json_set(o, "steps", mo__json_integer(v->steps));
    mo__json_set(o, "step_tokens", mo__json_integer(v->step_tokens));
    mo__json_set(o, "parameters", parameters);
    mo__json_set(o, "experts", mo__json_integer(v->experts));
    mo__json_set(o, "flops_per_token", mo__json_real(v->flops_per_token));
    mo__json_set(o, "memory_bytes", mo__json_integer((int64_t)v->memory_bytes));
    mo__json_set(o, "seeds", mo__json_integer(a->seeds));
    mo__json_set(o, "done", mo__json_integer(a->done));
    mo__json_set(o, "failed", mo__json_integer(a->failed));
    mo__json_set(o, "rung", mo__json_integer(a->rung));
    mo__json_set(o, "tuned", text_or_null(a->tuned));
    mo__json_set(o, "tuned_at_edge", json_boolean(a->tuned_at_edge));
    mo__json_set(o, "validation_loss", estimate_json(&a->loss));
    mo__json_set(o, "seconds", estimate_json(&a->seconds));
    mo__json_set(o, "tokens_per_second", mo__json_real(a->tokens_per_second));
    mo__json_set(o, "max_vio", estimate_json(&a->max_vio));
    mo__json_set(o, "entropy", estimate_json(&a->entropy));
    mo__json_set(o, "dropped", estimate_json(&a->dropped));
    mo__json_set(o, "pareto", json_boolean(a->pareto));
    mo__json_set(o, "near_best", json_boolean(a->near_best));
    return o;
}

/* ---- the answer ---- */

static json_t *contrast_json(const mo_lab_results *r, const mo_contrast *c)
{
    json_t *o = json_object();
    mo__json_set(o, "variant", mo__json_text(r->variants[c->variant].name));
    mo__json_set(o, "reference", mo__json_text(r->variants[c->reference].name));
    for (int x = 0; x < MO_AXES; x++) {
        json_t *axis = json_object();
        mo__json_set(axis, "at", mo__json_real(c->axis[x].at));
        mo__json_set(axis, "difference", estimate_json(&c->axis[x].difference));
        mo__json_set(axis, "verdict", mo__json_text(verdicts[c->axis[x].verdict]));
        mo__json_set(axis, "speedup", estimate_json(&c->axis[x].speedup));
        mo__json_set(axis, "reached", mo__json_integer(c->axis[x].reached));
        mo__json_set(axis, "spent", estimate_json(&c->axis[x].spent));
        mo__json_set(o, axes[x], axis);
    }
    json_t *final = json_object();
    mo__json_set(final, "difference", estimate_json(&c->final.difference));
    mo__json_set(final, "verdict", mo__json_text(verdicts[c->final.verdict]));
    mo__json_set(o, "final", final);
    return o;
}

static json_t *effect_json(const mo_effect *e)
{
    json_t *o = json_object(), *levels = json_array();
    for (int i = 0; i < e->n_levels; i++) {
        json_t *level = json_object();
        mo__json_set(level, "value", mo__json_text(e->levels[i].value));
        mo__json_set(level, "validation_loss", estimate_json(&e->levels[i].loss));
        mo__json_add(levels, level);
    }
    mo__json_set(o, "key", mo__json_text(e->key));
    mo__json_set(o, "share", mo__json_real(e->share));
    mo__json_set(o, "degrees", mo__json_integer(e->degrees));
    mo__json_set(o, "chance", mo__json_real(e->chance));
    mo__json_set(o, "levels", levels);
    return o;
}

static void set_comparison(json_t *o, const mo_lab_results *r, const mo_answer *a)
{
    json_t *contrasts = json_array();
    for (int i = 0; i < a->n_contrasts; i++) mo__json_add(contrasts, contrast_json(r, &a->contrasts[i]));
    mo__json_set(o, "reference", text_or_null(r->reference));
    mo__json_set(o, "tune", text_or_null(r->tune_key));
    mo__json_set(o, "contrasts", contrasts);
}

static void set_sweep(json_t *o, const mo_lab_results *r, const mo_answer *a)
{
    json_t *effects = json_array();
    for (int i = 0; i < a->n_effects; i++) mo__json_add(effects, effect_json(&a->effects[i]));
    mo__json_set(o, "strategy", mo__json_text(strategies[r->strategy]));
    mo__json_set(o, "effects", effects);
    mo__json_set(o, "effects_step", mo__json_integer(a->effects_step));
    mo__json_set(o, "noise", mo__json_real(a->noise));
    mo__json_set(o, "least_difference", mo__json_real(a->least_difference));
}

mo_status mo__experiment_json(const mo_lab_results *r, const mo_answer *a)
{
    json_t *o = json_object(), *notes = json_array(), *trials = json_array(), *variants = json_array(),
           *ranking = json_array(), *findings = json_array();
    for (int i = 0; i < a->n_findings; i++) mo__json_add(findings, mo__json_text(a->findings[i]));
    for (int i = 0; i < a->n_notes; i++) mo__json_add(notes, mo__json_text(a->notes[i]));
    for (int i = 0; i < r->n_trials; i++)
        mo__json_add(trials, trial_json(&r->trials[i], r->variants[r->trials[i].variant].name));
    for (int i = 0; i < r->n_variants; i++)
        mo__json_add(variants, variant_json(&r->variants[i], &a->variants[i]));
    for (int i = 0; i < a->n_variants; i++)
        mo__json_add(ranking, mo__json_text(r->variants[a->ranking[i]].name));
    mo__json_set(o, "kind", mo__json_text(r->compare ? "compare" : "sweep"));
    mo__json_set(o, "name", mo__json_text(r->name));
    mo__json_set(o, "path", text_or_null(r->path));
    mo__json_set(o, "machine", text_or_null(r->machine));
    mo__json_set(o, "created", mo__json_real(r->created));
    mo__json_set(o, "answer", mo__json_text(a->sentence));
    mo__json_set(o, "findings", findings);
    mo__json_set(o, "notes", notes);
    mo__json_set(o, "timed", json_boolean(a->timed));
    mo__json_set(o, "steady", json_boolean(a->steady));
    mo__json_set(o, "ranking", ranking);
    if (r->compare)
        set_comparison(o, r, a);
    else
        set_sweep(o, r, a);
    mo__json_set(o, "variants", variants);
    mo__json_set(o, "trials", trials);
    return mo__json_print(o);
}

/* ---- a run ---- */

static char *run_answer(const mo__run_metrics *m, mo_lab_state state)
{
    const mo_step_report *best = mo__run_best(m);
    int64_t step = m->n_lines > 0 ? m->lines[m->n_lines - 1].step : 0, steps = mo_run_steps(&m->config);
    char *where = steps > 0 ? mo_strprintf("step %lld of %lld", (long long)step, (long long)steps)
                            : mo_strprintf("step %lld", (long long)step);
    const char *how = state == MO_TRIAL_DONE      ? mo__run_end_words(m->end)
                      : state == MO_TRIAL_RUNNING ? "it goes on"
                                                  : "it was stopped, and can be resumed";
    char *text = NULL;
    if (where && best)
        text = mo_strprintf(
            "The lowest validation loss is %.4f nats per token, at step %lld; the run is at %s: %s.",
            best->validation_loss, (long long)best->step, where, how);
    else if (where)
        text = mo_strprintf("There is no evaluation yet; the run is at %s: %s.", where, how);
    mo_free(where);
    return text;
}

mo_status mo__run_json(const mo__run_metrics *m)
{
    const mo_run_config *c = &m->config;
    int64_t steps = mo_run_steps(c);
    char *lock = mo_path_join(m->dir, "lock");
    if (!lock) return MO_E_MEMORY;
    mo_lab_trial t = {.name = c->run.name,
                      .dir = m->dir,
                      .stage = MO_STAGE_MAIN,
                      .seed = c->run.seed,
                      .target_step = steps > 0 ? steps : INT64_MAX,
                      .state = mo__lock_file_held(lock) ? MO_TRIAL_RUNNING : MO_TRIAL_WAITING,
                      .started = (double)NAN,
                      .ended = (double)NAN};
    mo_free(lock);
    MO_TRY(mo__trial_collect(&t));
    char *answer = run_answer(m, t.state);
    json_t *o = json_object(), *trials = json_array(), *parameters = json_object();
    mo__json_add(trials, trial_json(&t, NULL));
    mo__json_set(parameters, "total", mo__json_integer(m->count.total));
    mo__json_set(parameters, "active", mo__json_integer(m->count.active));
    mo__json_set(o, "kind", mo__json_text("run"));
    mo__json_set(o, "name", mo__json_text(c->run.name));
    mo__json_set(o, "path", mo__json_text(m->dir));
    mo__json_set(o, "answer", answer ? mo__json_text(answer) : NULL);
    mo__json_set(o, "parameters", parameters);
    mo__json_set(o, "step_tokens", mo__json_integer(m->step_tokens));
    mo__json_set(o, "flops_per_token", mo__json_real(m->count.flops_per_token));
    mo__json_set(o, "trials", trials);
    mo_free(answer);
    mo_free(t.evaluations);
    return mo__json_print(o);
}
