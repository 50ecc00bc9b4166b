/* experiment.c -- see experiment.h. */
#include "lab/experiment.h"

#include <math.h>
#include <string.h>
#include <time.h>

#include "base/lock_file.h"
#include "lab/collect.h"
#include "lab/plan.h"
#include "lab/settings.h"
#include "lab/spec.h"
#include "lab/time_step.h"
#include "lab/trial_check.h"

double mo__seconds_since_1970(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

void mo__trial_message(mo_lab_trial *trial, char *message)
{
    mo_free(trial->message);
    trial->message = message;
}

/* ---- the machine ---- */

/* The processor's name, without what follows it; "" if the system does not say. */
static void read_processor(char *name, size_t size)
{
    char line[256];
    FILE *file = fopen("/proc/cpuinfo", "re");
    name[0] = '\0';
    while (file && fgets(line, sizeof line, file)) {
        char *value = strncmp(line, "model name", 10) == 0 ? strchr(line, ':') : NULL;
        if (!value) continue;
        value += 1 + strspn(value + 1, " \t");
        snprintf(name, size, ", %.*s", (int)strcspn(value, "\n"), value);
        break;
    }
    if (file) fclose(file);
}

static char *describe_machine(void)
{
    char processor[200];
    read_processor(processor, sizeof processor);
    int cores = mo_cores();
    return mo_strprintf("%d core%s%s, %s", cores, cores == 1 ? "" : "s", processor, mo_instructions());
}

/* ---- opening ---- */

static mo_status hold(mo__experiment *e)
{
    const char *dir = e->options->spec->dir;
    if (!(e->lock_path = mo_path_join(dir, "lock"))) return MO_E_MEMORY;
    MO_TRY(mo_make_dirs(dir));
    mo_status status = mo__lock_file_take(e->lock_path, 2, &e->lock);
    char *holder = status == MO_E_EXISTS ? mo_strdup(mo_last_error()) : NULL;
    if (holder)
        mo_error(status, "%s: another process works on this experiment (%s); wait for it, or stop it first",
                 dir, holder);
    mo_free(holder);
    return status;
}

/* Variants are made before anything is written. */
static mo_status create(mo__experiment *e, const mo_lab_spec *spec)
{
    const mo_lab_run_options *o = e->options;
    mo__step_clock clock = {.options = o};
    mo_lab_variants_options options = {.most = o->most, .time = mo__step_seconds, .user = &clock};
    mo_lab_variant *variants = NULL;
    int count = 0;
    mo_status status = mo_lab_variants(spec, &options, &variants, &count);
    if (clock.stopped) status = mo_error(MO_E_INTERRUPTED, "interrupted while steps were timed");
    char *machine = status == MO_OK ? describe_machine() : NULL;
    if (status == MO_OK && !machine) status = MO_E_MEMORY;
    if (status == MO_OK) status = hold(e);
    if (status == MO_OK) status = mo__store_create(spec, variants, count, machine);
    if (status == MO_E_EXISTS && e->lock >= 0) status = MO_OK; /* made by another, since it was looked for */
    mo_free(machine);
    mo_lab_variants_free(variants, count);
    return status;
}

static bool is_there(const mo_lab_spec *spec)
{
    char *path = mo_path_join(spec->dir, "results.db");
    bool there = path && mo_path_exists(path);
    mo_free(path);
    return there;
}

/* eval.every is no parameter of an experiment, so the base's will do. */
static mo_status read_eval_every(mo__experiment *e)
{
    mo_run_config config;
    const mo_lab_spec *spec = e->options->spec;
    if (spec->compare || spec->strategy != MO_LAB_HALVING || e->now.n_variants == 0) return MO_OK;
    MO_TRY(mo__spec_load_config(spec, spec->base, &config));
    e->eval_every = config.eval.every;
    mo_config_free(&config);
    return MO_OK;
}

static mo_status open_store(mo__experiment *e)
{
    mo_lab_spec spec = *e->options->spec;
    char *asked = NULL;
    MO_TRY(mo__spec_content(&spec, &asked));
    spec.asked = asked;
    mo_status status = is_there(&spec) ? hold(e) : create(e, &spec);
    if (status == MO_OK) status = mo__store_open(&spec, &e->store);
    mo_free(asked);
    return status;
}

static mo_status open_all(mo__experiment *e)
{
    MO_TRY(open_store(e));
    int again = 0;
    if (e->options->retry) MO_TRY(mo__store_retry(e->store, &again));
    MO_TRY(mo__store_read(e->store, &e->now));
    MO_TRY(read_eval_every(e));
    return mo__experiment_plan(e);
}

mo_status mo__experiment_open(const mo_lab_run_options *options, mo__experiment *out)
{
    *out = (mo__experiment){.options = options, .lock = -1};
    mo_status status = open_all(out);
    if (status != MO_OK) mo__experiment_close(out);
    return status;
}

void mo__experiment_close(mo__experiment *e)
{
    mo_lab_results_free(&e->now);
    mo__store_close(e->store);
    if (e->lock_path) mo__lock_file_release(e->lock_path, e->lock);
    mo_free(e->lock_path);
    *e = (mo__experiment){.lock = -1};
}

/* ---- at work ---- */

mo_status mo__experiment_plan(mo__experiment *e)
{
    mo__trial_plan plan;
    MO_TRY(mo__trial_plan_make(e->options->spec, &e->now, e->eval_every, &plan));
    mo_status status = mo__store_plan(e->store, plan.trials, plan.count);
    mo__trial_plan_free(&plan);
    MO_TRY(status);
    mo_lab_results_free(&e->now);
    return mo__store_read(e->store, &e->now);
}

mo_status mo__experiment_collect(const mo__experiment *e, mo_lab_trial *trial)
{
    MO_TRY(mo__trial_check(e->options->spec, &e->now, trial));
    return mo__trial_collect(trial);
}

mo_status mo__experiment_record(mo__experiment *e, const mo_lab_trial *trial)
{
    return mo__store_record(e->store, trial);
}

mo_lab_trial *mo__experiment_trial(mo__experiment *e, int64_t id)
{
    int low = 0, high = e->now.n_trials - 1;
    while (low < high) {
        int middle = (low + high) / 2;
        if (e->now.trials[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return &e->now.trials[low];
}
