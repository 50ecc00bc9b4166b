/* time_step.c -- see time_step.h. */
#include "lab/time_step.h"

#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lab/collect.h"
#include "lab/launch.h"
#include "lab/trial_words.h"

/* A run's folder has files and no folders. */
static void remove_folder(const char *dir)
{
    DIR *d = opendir(dir);
    for (struct dirent *entry = d ? readdir(d) : NULL; entry; entry = readdir(d)) {
        char *path = mo_path_join(dir, entry->d_name);
        if (path && strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) unlink(path);
        mo_free(path);
    }
    if (d) closedir(d);
    rmdir(dir);
}

static bool stopping(const mo__step_clock *c)
{
    return c->options->stop && *c->options->stop;
}

static mo_status wait_for(mo__step_clock *c, mo__launch *l)
{
    const struct timespec nap = {.tv_nsec = 20000000};
    mo__ending ending;
    while (!mo__launch_ended(l, &ending)) {
        if (stopping(c)) mo__launch_stop(l);
        nanosleep(&nap, NULL);
    }
    c->stopped = c->stopped || stopping(c);
    if (c->stopped) return mo_error(MO_E_INTERRUPTED, "interrupted while a step was timed");
    if (ending.exit_code == 0 && ending.signal == 0) return MO_OK;
    char *message = mo__launch_message(l, &ending);
    mo_error(MO_E_CONFIG, "the run that was to be timed failed: %s", message ? message : "no memory");
    mo_free(message);
    return MO_E_CONFIG;
}

static mo_status run(mo__step_clock *c, const char *config, const mo_lab_settings *settings, const char *dir)
{
    mo__word_list words = {0};
    mo__launch launch;
    bool is_free;
    MO_TRY(mo__launch_claim(dir, &launch, &is_free));
    mo_status status =
        mo__timing_words(c->options->program, config, settings, MO__STEPS_TIMED, dir, mo_cores(), &words);
    if (status == MO_OK) status = mo__launch_start(&launch, &words);
    if (status == MO_OK) status = wait_for(c, &launch);
    mo__word_list_free(&words);
    mo__launch_end(&launch);
    return status;
}

double mo__step_seconds(const char *config, const mo_lab_settings *settings, void *user)
{
    mo__step_clock *c = user;
    const char *parent = getenv("TMPDIR");
    char *dir = c->stopped ? NULL : mo_strprintf("%s/moira-timing-XXXXXX", parent ? parent : "/tmp");
    mo_lab_trial trial = {.dir = dir, .seed = 1, .target_step = MO__STEPS_TIMED, .step_seconds = (double)NAN};
    if (dir && mkdtemp(dir)) {
        if (run(c, config, settings, dir) == MO_OK && mo__trial_collect(&trial) != MO_OK)
            trial.step_seconds = (double)NAN;
        remove_folder(dir);
    }
    mo_free(trial.evaluations);
    mo_free(dir);
    return trial.step_seconds;
}
