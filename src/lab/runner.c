/* runner.c -- trials run, as many at a time as there are jobs, until nothing is due.
 *
 * A trial is done when its metrics say so, whatever became of its program; so what ended while nobody watched
 * counts, and is never run again. One that was begun is gone on with from its checkpoint. */
#include <math.h>
#include <string.h>
#include <time.h>

#include "base/text.h"
#include "lab/experiment.h"
#include "lab/launch.h"
#include "lab/run_tail.h"
#include "lab/trial_words.h"
#include "train/train_internal.h"

/* A trial that was killed from outside goes on, but not for ever: what kills it may be its need of memory. */
enum { MOST_KILLS = 3 };
static const double NAP = 0.02, TOLD_EVERY = 0.5;

typedef struct job {
    int64_t trial; /* id */
    mo__launch launch;
    double begin; /* mo_clock */
    int64_t from; /* step */
} job;

typedef struct runner {
    mo__experiment e;
    job *jobs;
    int n_jobs, room;
    int *kills; /* [trials] by index */
    int n_kills;
    mo_lab_live *live; /* [room] */
    int next;          /* trials before it are not due, or run */
    bool stopping;
    double told;      /* mo_clock */
    mo_status failed; /* what ends all of it, with `message` */
    char message[MO__MESSAGE_SIZE];
} runner;

/* The first trouble is kept; trials that run are let save. */
static void fail(runner *r, mo_status status)
{
    if (status == MO_OK || r->failed != MO_OK) return;
    r->failed = status;
    snprintf(r->message, sizeof r->message, "%s", mo_last_error());
    r->stopping = true;
}

/* ---- what is told ---- */

static void tell(runner *r, bool changed)
{
    const mo_lab_run_options *o = r->e.options;
    double now = mo_clock();
    if (!o->progress || (!changed && now - r->told < TOLD_EVERY)) return;
    r->told = now;
    for (int i = 0; i < r->n_jobs; i++) {
        const job *j = &r->jobs[i];
        const mo_lab_trial *t = mo__experiment_trial(&r->e, j->trial);
        mo_lab_live *live = &r->live[i];
        *live = (mo_lab_live){.trial = (int)(t - r->e.now.trials),
                              .another = j->launch.pid == 0,
                              .since = now - j->begin,
                              .from = j->from,
                              .step = j->from,
                              .train_loss = (double)NAN};
        mo__run_tail(t->dir, &live->step, &live->train_loss);
    }
    o->progress(
        &(mo_lab_progress){
            .results = &r->e.now, .live = r->live, .n_live = r->n_jobs, .stopping = r->stopping},
        o->user);
}

/* ---- the end of a trial's program ---- */

static void set(mo_lab_trial *t, mo_lab_state state, char *message)
{
    t->state = state;
    t->ended = state == MO_TRIAL_WAITING ? (double)NAN : mo__seconds_since_1970();
    mo__trial_message(t, message);
}

/* Interrupted: the trial goes on later. */
static void interrupted(runner *r, const job *j, const mo__ending *ending, mo_lab_trial *t)
{
    int *kills = &r->kills[t - r->e.now.trials];
    if (r->stopping || !ending->known || ++*kills < MOST_KILLS) {
        set(t, MO_TRIAL_WAITING, NULL);
        return;
    }
    char *how = mo__launch_message(&j->launch, ending);
    set(t, MO_TRIAL_FAILED,
        mo_strprintf("%d times killed from outside, maybe for want of memory; the last time: %s", MOST_KILLS,
                     how ? how : "?"));
    mo_free(how);
}

static bool ended_well(const mo__ending *ending)
{
    return ending->known && ending->exit_code == 0 && ending->signal == 0;
}

static void unfinished(runner *r, const job *j, const mo__ending *ending, mo_lab_trial *t)
{
    if (!ending->known || ending->interrupted)
        interrupted(r, j, ending, t);
    else if (mo_run_held(t->dir)) /* another process was first */
        set(t, MO_TRIAL_WAITING, NULL);
    else if (ended_well(ending))
        set(t, MO_TRIAL_FAILED,
            mo_strprintf("ended well, but at step %lld of %lld", (long long)t->step,
                         (long long)t->target_step));
    else
        set(t, MO_TRIAL_FAILED, mo__launch_message(&j->launch, ending));
}

/* From its folder into the results. */
static void settle(runner *r, const job *j, const mo__ending *ending)
{
    mo_lab_trial *t = mo__experiment_trial(&r->e, j->trial);
    t->state = MO_TRIAL_RUNNING;
    mo_status status = mo__experiment_collect(&r->e, t);
    if (t->state == MO_TRIAL_DONE)
        set(t, MO_TRIAL_DONE, NULL);
    else if (status == MO_E_MISMATCH || (status != MO_OK && ended_well(ending)))
        set(t, MO_TRIAL_FAILED, mo_strdup(mo_last_error()));
    else
        unfinished(r, j, ending, t);
    mo_error_clear();
    fail(r, mo__experiment_record(&r->e, t));
}

static bool reap(runner *r)
{
    bool any = false;
    for (int i = 0; i < r->n_jobs;) {
        mo__ending ending;
        job *j = &r->jobs[i];
        if (r->stopping) mo__launch_stop(&j->launch);
        if (!mo__launch_ended(&j->launch, &ending)) {
            i++;
            continue;
        }
        settle(r, j, &ending);
        mo__launch_end(&j->launch);
        *j = r->jobs[--r->n_jobs];
        r->next = 0;
        any = true;
    }
    return any;
}

/* ---- the start of one ---- */

static bool runs(const runner *r, const mo_lab_trial *t)
{
    for (int i = 0; i < r->n_jobs; i++)
        if (r->jobs[i].trial == t->id) return true;
    return false;
}

static bool due(const mo_lab_trial *t)
{
    return t->state == MO_TRIAL_WAITING || t->state == MO_TRIAL_RUNNING;
}

/* The next trial that is due and does not run; NULL. */
static mo_lab_trial *next_due(runner *r)
{
    for (; r->next < r->e.now.n_trials; r->next++) {
        mo_lab_trial *t = &r->e.now.trials[r->next];
        if (due(t) && !runs(r, t)) return t;
    }
    return NULL;
}

/* Trials that want the machine for themselves run one at a time, with all cores. */
static int places(runner *r, const mo_lab_trial *t)
{
    bool alone = t->stage == MO_STAGE_TIMING;
    for (int i = 0; i < r->n_jobs && !alone; i++)
        alone = mo__experiment_trial(&r->e, r->jobs[i].trial)->stage == MO_STAGE_TIMING;
    return alone ? 1 : r->e.options->jobs;
}

/* The cores are shared out between the trials that can run at a time. */
static int threads_of(runner *r, const mo_lab_trial *t)
{
    int waiting = 0, most = places(r, t), cores = mo_cores();
    for (int i = r->next; i < r->e.now.n_trials && r->n_jobs + waiting < most; i++)
        waiting += due(&r->e.now.trials[i]) && !runs(r, &r->e.now.trials[i]);
    int at_a_time = r->n_jobs + waiting < most ? r->n_jobs + waiting : most;
    return at_a_time > 1 ? (cores > at_a_time ? cores / at_a_time : 1) : cores;
}

/* For one more job; before its program starts, since nothing may fail between that and its being watched. */
static mo_status make_room(runner *r)
{
    if (r->n_jobs < r->room) return MO_OK;
    int room = r->room + 16;
    job *jobs = mo_realloc(r->jobs, (size_t)room * sizeof *jobs);
    if (!jobs) return MO_E_MEMORY;
    r->jobs = jobs;
    mo_lab_live *live = mo_realloc(r->live, (size_t)room * sizeof *live);
    if (!live) return MO_E_MEMORY;
    r->live = live;
    r->room = room;
    return MO_OK;
}

static void add_job(runner *r, const mo_lab_trial *t, const mo__launch *launch)
{
    r->jobs[r->n_jobs++] = (job){.trial = t->id, .launch = *launch, .begin = mo_clock(), .from = t->step};
}

static mo_status launch(runner *r, mo_lab_trial *t, mo__launch *l)
{
    const mo_lab_run_options *o = r->e.options;
    mo__word_list words = {0};
    mo_status status =
        mo__trial_words(o->program, o->spec, &r->e.now, t, threads_of(r, t), mo__run_exists(t->dir), &words);
    t->state = MO_TRIAL_RUNNING;
    if (isnan(t->started)) t->started = mo__seconds_since_1970();
    if (status == MO_OK) status = mo__experiment_record(&r->e, t);
    if (status == MO_OK) status = mo__launch_start(l, &words);
    mo__word_list_free(&words);
    return status;
}

/* Whether a trial that is to be begun is over as it is: it ended while nobody watched, or its folder has
 * another run, which is left alone. */
static bool is_over(runner *r, mo_lab_trial *t)
{
    mo_status status = mo__experiment_collect(&r->e, t);
    if (status == MO_OK && t->state == MO_TRIAL_DONE) set(t, MO_TRIAL_DONE, NULL);
    if (status == MO_E_MISMATCH) set(t, MO_TRIAL_FAILED, mo_strdup(mo_last_error()));
    mo_error_clear();
    return !due(t);
}

static mo_status begin(runner *r, mo_lab_trial *t)
{
    mo__launch l;
    bool is_free;
    MO_TRY(make_room(r));
    MO_TRY(mo__launch_claim(t->dir, &l, &is_free));
    mo_status status = MO_OK;
    if (is_free && is_over(r, t)) {
        mo__launch_end(&l);
        return mo__experiment_record(&r->e, t);
    }
    if (is_free) status = launch(r, t, &l);
    if (status == MO_OK)
        add_job(r, t, &l);
    else
        mo__launch_end(&l);
    return status;
}

/* Trials of a sweep that was killed may still run: they take their places first. */
static mo_status adopt(runner *r)
{
    for (int i = 0; i < r->e.now.n_trials; i++) {
        mo_lab_trial *t = &r->e.now.trials[i];
        mo__launch l;
        bool is_free;
        if (!due(t) || !mo_path_is_dir(t->dir)) continue;
        MO_TRY(make_room(r));
        MO_TRY(mo__launch_claim(t->dir, &l, &is_free));
        if (is_free) {
            mo__launch_end(&l);
            continue;
        }
        add_job(r, t, &l);
        t->state = MO_TRIAL_RUNNING;
    }
    return MO_OK;
}

/* ---- all of them ---- */

/* Room for counts of trials that were added; those that are there keep their places. */
static mo_status make_kills(runner *r)
{
    if (r->e.now.n_trials == r->n_kills) return MO_OK;
    int *kills = mo_realloc(r->kills, (size_t)r->e.now.n_trials * sizeof *kills);
    if (!kills) return MO_E_MEMORY;
    memset(kills + r->n_kills, 0, (size_t)(r->e.now.n_trials - r->n_kills) * sizeof *kills);
    r->kills = kills;
    r->n_kills = r->e.now.n_trials;
    return MO_OK;
}

static mo_status plan(runner *r)
{
    MO_TRY(mo__experiment_plan(&r->e));
    r->next = 0;
    for (int i = 0; i < r->n_jobs; i++)
        mo__experiment_trial(&r->e, r->jobs[i].trial)->state = MO_TRIAL_RUNNING;
    return make_kills(r);
}

/* Fills places; *changed if it did. What the plan calls for beyond what is there is asked for when nothing
 * waits. */
static mo_status fill(runner *r, bool *changed)
{
    bool planned = false;
    while (!r->stopping) {
        mo_lab_trial *t = next_due(r);
        if (!t && planned) return MO_OK;
        if (!t && !*changed) return MO_OK;
        if (!t) {
            MO_TRY(plan(r));
            planned = true;
            continue;
        }
        if (r->n_jobs >= places(r, t)) return MO_OK;
        MO_TRY(begin(r, t));
        *changed = true;
        planned = false;
    }
    return MO_OK;
}

static void work(runner *r)
{
    const struct timespec nap = {.tv_nsec = (long)(NAP * 1e9)};
    const volatile sig_atomic_t *stop = r->e.options->stop;
    bool changed = true;
    fail(r, make_kills(r));
    if (!r->stopping) fail(r, adopt(r));
    for (;;) {
        if (stop && *stop) r->stopping = true;
        if (reap(r)) {
            changed = true;
            tell(r, changed); /* before a plan may send one of them farther */
        }
        fail(r, fill(r, &changed));
        tell(r, changed);
        if (r->n_jobs == 0) return;
        changed = false;
        nanosleep(&nap, NULL);
    }
}

static void finish(runner *r)
{
    for (int i = 0; i < r->n_jobs; i++) mo__launch_end(&r->jobs[i].launch);
    mo_free(r->jobs);
    mo_free(r->live);
    mo_free(r->kills);
    mo__experiment_close(&r->e);
}

mo_status mo_lab_run(const mo_lab_run_options *options)
{
    runner r = {.failed = MO_OK};
    if (options->jobs < 1)
        return mo_error(MO_E_RANGE, "jobs: %d trials at a time; must be at least 1", options->jobs);
    MO_TRY(mo__experiment_open(options, &r.e));
    work(&r);
    finish(&r);
    if (r.failed != MO_OK) return mo_error(r.failed, "%s", r.message);
    if (r.stopping)
        return mo_error(MO_E_INTERRUPTED, "interrupted; the same command goes on where it stopped");
    return MO_OK;
}
