/* elsewhere.c -- trials that other programs run: their commands, and what came back. */
#include "lab/experiment.h"
#include "lab/trial_words.h"
#include "train/train_internal.h"

/* What a trial's folder has by now; one that is still at work is left alone. */
static mo_status collect(mo__experiment *e, mo_lab_trial *t)
{
    int64_t step = t->step;
    mo_lab_state state = t->state;
    if (mo_run_held(t->dir)) return MO_OK;
    mo_status status = mo__experiment_collect(e, t);
    if (status == MO_E_MEMORY) return status;
    if (status != MO_OK) mo_log(MO_LOG_WARNING, "%s", mo_last_error());
    mo_error_clear();
    if (t->state == MO_TRIAL_DONE) {
        mo__trial_message(t, NULL);
        t->ended = mo__seconds_since_1970();
    } else if (t->state == MO_TRIAL_RUNNING) {
        t->state = MO_TRIAL_WAITING;
    }
    return t->state == state && t->step == step ? MO_OK : mo__experiment_record(e, t);
}

static mo_status collect_all(mo__experiment *e)
{
    for (int i = 0; i < e->now.n_trials; i++)
        if (e->now.trials[i].state != MO_TRIAL_DONE) MO_TRY(collect(e, &e->now.trials[i]));
    return mo__experiment_plan(e);
}

mo_status mo_lab_collect(const mo_lab_run_options *options)
{
    mo__experiment e;
    MO_TRY(mo__experiment_open(options, &e));
    mo_status status = collect_all(&e);
    mo__experiment_close(&e);
    return status;
}

static int threads_of(const mo_lab_run_options *o, const mo_lab_trial *t)
{
    int cores = mo_cores();
    if (t->stage == MO_STAGE_TIMING) return cores;
    return cores > o->jobs ? cores / o->jobs : 1;
}

static mo_status list(mo__experiment *e,
                      mo_status (*emit)(const mo_lab_trial *, const char *const *, int, void *), void *user)
{
    const mo_lab_run_options *o = e->options;
    MO_TRY(collect_all(e));
    for (int i = 0; i < e->now.n_trials; i++) {
        const mo_lab_trial *t = &e->now.trials[i];
        mo__word_list words = {0};
        if (t->state == MO_TRIAL_DONE || t->state == MO_TRIAL_FAILED || mo_run_held(t->dir)) continue;
        mo_status status = mo__trial_words(o->program, o->spec, &e->now, t, threads_of(o, t),
                                           mo__run_exists(t->dir), &words);
        if (status == MO_OK) status = emit(t, (const char *const *)words.at, words.count, user);
        mo__word_list_free(&words);
        MO_TRY(status);
    }
    return MO_OK;
}

mo_status mo_lab_list(const mo_lab_run_options *options,
                      mo_status (*emit)(const mo_lab_trial *trial, const char *const *words, int count,
                                        void *user),
                      void *user)
{
    mo__experiment e;
    if (options->jobs < 1)
        return mo_error(MO_E_RANGE, "jobs: %d trials at a time; must be at least 1", options->jobs);
    MO_TRY(mo__experiment_open(options, &e));
    mo_status status = list(&e, emit, user);
    mo__experiment_close(&e);
    return status;
}
