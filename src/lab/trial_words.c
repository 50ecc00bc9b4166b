/* trial_words.c -- the command that runs a trial. Later settings win, so what the experiment sees to comes
 * last. */
#include "lab/trial_words.h"

static mo_status begin(const char *program, const char *config, const mo_lab_settings *settings,
                       mo__word_list *out)
{
    MO_TRY(mo__word_list_add(out, mo_strdup(program)));
    MO_TRY(mo__word_list_add(out, mo_strdup("train")));
    MO_TRY(mo__word_list_add(out, mo_strdup(config)));
    return mo__settings_words(settings, out);
}

static mo_status add_steps(int64_t steps, mo__word_list *out)
{
    MO_TRY(mo__word_list_add(out, mo_strprintf("train.steps=%lld", (long long)steps)));
    MO_TRY(mo__word_list_add(out, mo_strdup("train.tokens=0")));
    return mo__word_list_add(out, mo_strdup("train.seconds=0"));
}

/* Steps and nothing else: one short evaluation at the end, which every run makes, and a line for each step.
 */
static mo_status add_timing(int64_t steps, mo__word_list *out)
{
    static const char *const quiet[] = {"log.every=1", "eval.batches=1", "sample.tokens=0",
                                        "log.routing=false", "log.tensorboard=false"};
    for (size_t i = 0; i < sizeof quiet / sizeof *quiet; i++)
        MO_TRY(mo__word_list_add(out, mo_strdup(quiet[i])));
    MO_TRY(mo__word_list_add(out, mo_strprintf("eval.every=%lld", (long long)steps)));
    return mo__word_list_add(out, mo_strprintf("checkpoint.every=%lld", (long long)steps));
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

static mo_status add_own(const mo_lab_spec *spec, const mo_lab_variant *v, const mo_lab_trial *t,
                         mo__word_list *out)
{
    int64_t steps = whole_steps(v, t);
    if (t->tuned) MO_TRY(mo__word_list_add(out, mo_strprintf("%s=%s", spec->tune.key, t->tuned)));
    MO_TRY(add_steps(steps, out));
    return t->stage == MO_STAGE_TIMING ? add_timing(steps, out) : MO_OK;
}

mo_status mo__trial_words(const char *program, const mo_lab_spec *spec, const mo_lab_results *now,
                          const mo_lab_trial *trial, int threads, bool resume, mo__word_list *out)
{
    const mo_lab_variant *v = &now->variants[trial->variant];
    MO_TRY(begin(program, v->config, &v->settings, out));
    MO_TRY(add_own(spec, v, trial, out));
    char *name = mo_strprintf("%s %s", now->name, trial->name);
    mo_status status = name ? add_run(name, trial->dir, trial->seed, threads, out) : MO_E_MEMORY;
    mo_free(name);
    if (status == MO_OK && resume) status = mo__word_list_add(out, mo_strdup("--resume"));
    if (status == MO_OK && trial->target_step < whole_steps(v, trial))
        status = mo__word_list_add(out, mo_strprintf("--pause-at=%lld", (long long)trial->target_step));
    return status;
}

mo_status mo__timing_words(const char *program, const char *config, const mo_lab_settings *settings,
                           int64_t steps, const char *dir, int threads, mo__word_list *out)
{
    MO_TRY(begin(program, config, settings, out));
    MO_TRY(add_steps(steps, out));
    MO_TRY(add_timing(steps, out));
    return add_run("timing", dir, 1, threads, out);
}
