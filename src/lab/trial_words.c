/* trial_words.c -- the command that runs a trial: each setting once, as the last who has a say wants it. */
#include "lab/trial_words.h"

#include <string.h>

static mo_status begin(const char *program, const char *config, const mo_lab_settings *settings,
                       mo__word_list *out)
{
    MO_TRY(mo__word_list_add(out, mo_strdup(program)));
    MO_TRY(mo__word_list_add(out, mo_strdup("train")));
    MO_TRY(mo__word_list_add(out, mo_strdup(config)));
    return mo__settings_words(settings, out);
}

/* Steps and nothing else: one short evaluation at the end, which every run makes, and a line for each step.
 */
static mo_status put_timing(int64_t steps, mo_lab_settings *out)
{
    static const char *const quiet[][2] = {{"log.every", "1"},
                                           {"eval.batches", "1"},
                                           {"sample.tokens", "0"},
                                           {"log.routing", "false"},
                                           {"log.tensorboard", "false"}};
    for (size_t i = 0; i < sizeof quiet / sizeof *quiet; i++)
        MO_TRY(mo__settings_put(out, quiet[i][0], quiet[i][1]));
    MO_TRY(mo__settings_put_number(out, "eval.every", steps));
    return mo__settings_put_number(out, "checkpoint.every", steps);
}

static mo_status add_run(const char *name, const char *dir, uint64_t seed, int threads, mo__word_list *out)
{
    MO_TRY(mo__word_list_add(out, mo_strprintf("run.name=%s", name)));
    MO_TRY(mo__word_list_add(out, mo_strprintf("run.dir=%s", dir)));
    MO_TRY(mo__word_list_add(out, mo_strprintf("run.seed=%llu", (unsigned long long)seed)));
    return mo__word_list_add(out, mo_strprintf("run.threads=%d", threads));
}

/* Of the whole run: schedules hang on it, and halving only pauses. */
static int64_t whole_steps(const mo_lab_variant *v, const mo_lab_trial *t)
{
    return t->stage == MO_STAGE_MAIN ? v->steps : t->target_step;
}

/* The variant's, but where files lie: that is as the experiment's file says it now (spec_content.c). */
static mo_status put_variant(const mo_lab_spec *spec, const mo_lab_variant *v, mo_lab_settings *out)
{
    for (int i = 0; i < v->settings.count; i++) {
        const mo_lab_setting *s = &v->settings.at[i];
        if (mo__setting_is_place(s->key) && !mo__settings_find(&v->chosen, s->key)) continue;
        MO_TRY(mo__settings_put(out, s->key, s->value));
    }
    for (int i = 0; i < spec->set.count; i++)
        if (mo__setting_is_place(spec->set.at[i].key) && !mo__settings_find(out, spec->set.at[i].key))
            MO_TRY(mo__settings_put(out, spec->set.at[i].key, spec->set.at[i].value));
    for (int e = 0; e < spec->n_entries; e++)
        for (int i = 0; strcmp(spec->entries[e].name, v->name) == 0 && i < spec->entries[e].settings.count;
             i++) {
            const mo_lab_setting *s = &spec->entries[e].settings.at[i];
            if (mo__setting_is_place(s->key)) MO_TRY(mo__settings_put(out, s->key, s->value));
        }
    return MO_OK;
}

static mo_status put_own(const mo_lab_spec *spec, const mo_lab_variant *v, const mo_lab_trial *t,
                         mo_lab_settings *out)
{
    int64_t steps = whole_steps(v, t);
    MO_TRY(put_variant(spec, v, out));
    if (t->tuned) MO_TRY(mo__settings_put(out, spec->tune.key, t->tuned));
    MO_TRY(mo__settings_put_steps(out, steps));
    return t->stage == MO_STAGE_TIMING ? put_timing(steps, out) : MO_OK;
}

mo_status mo__trial_words(const char *program, const mo_lab_spec *spec, const mo_lab_results *now,
                          const mo_lab_trial *trial, int threads, bool resume, mo__word_list *out)
{
    const mo_lab_variant *v = &now->variants[trial->variant];
    mo_lab_settings settings = {0};
    mo_status status = put_own(spec, v, trial, &settings);
    if (status == MO_OK) status = begin(program, v->config, &settings, out);
    mo__settings_free(&settings);
    MO_TRY(status);
    char *name = mo_strprintf("%s %s", now->name, trial->name);
    status = name ? add_run(name, trial->dir, trial->seed, threads, out) : MO_E_MEMORY;
    mo_free(name);
    if (status == MO_OK && resume) status = mo__word_list_add(out, mo_strdup("--resume"));
    if (status == MO_OK && trial->target_step < whole_steps(v, trial))
        status = mo__word_list_add(out, mo_strprintf("--pause-at=%lld", (long long)trial->target_step));
    return status;
}

mo_status mo__timing_words(const char *program, const char *config, const mo_lab_settings *settings,
                           int64_t steps, const char *dir, int threads, mo__word_list *out)
{
    mo_lab_settings all = {0};
    mo_status status = mo__settings_put_all(&all, settings);
    if (status == MO_OK) status = mo__settings_put_steps(&all, steps);
    if (status == MO_OK) status = put_timing(steps, &all);
    if (status == MO_OK) status = begin(program, config, &all, out);
    mo__settings_free(&all);
    return status == MO_OK ? add_run("timing", dir, 1, threads, out) : status;
}
