/* lab_work.c -- a sweep or a comparison, done, listed or collected. */
#include "lab_work.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

#include <moira/lab.h>

#include "experiment_view.h"
#include "lab_view.h"
#include "session.h"
#include "shell_word.h"
#include "terminal.h"

enum { MOST_VARIANTS = 10000 };

/* ---- a command for each trial ---- */

static bool warned;

static mo_status print_words(const mo_lab_trial *trial, const char *const *words, int count, void *user)
{
    (void)user;
    if (trial->stage == MO_STAGE_TIMING && !warned) {
        mo__say("these trials tell how long a step takes: run them one at a time, on a machine that does "
                "nothing else");
        warned = true;
    }
    char *line = mo__shell_line(words, count);
    if (!line) return MO_E_MEMORY;
    puts(line);
    mo_free(line);
    return MO_OK;
}

/* ---- the end ---- */

static mo_status make_report(const mo_lab_spec *spec)
{
    mo_report_made made;
    MO_TRY(mo_report_write(&(mo_report_options){.path = spec->dir}, &made));
    if (made.without_plots)
        mo__say("gnuplot could not be started, or did not end, so the report has no plots; install "
                "gnuplot-nox and run "
                "moira report %s",
                spec->dir);
    printf("report       %s\n", made.html);
    mo_report_made_free(&made);
    return MO_OK;
}

static mo_status summarize(const mo_lab_spec *spec, const mo_lab_results *results)
{
    mo_answer answer;
    MO_TRY(mo_answer_of(results, &answer));
    putchar('\n');
    mo_status status = mo__experiment_print(results, &answer);
    mo_answer_free(&answer);
    if (status == MO_OK) status = make_report(spec);
    if (status == MO_OK) printf("results      %s\n", results->path);
    if (status == MO_OK && mo__stop)
        return mo_error(MO_E_INTERRUPTED, "interrupted when all trials were over; the report is written");
    return status;
}

static mo_status tell_failures(const mo_lab_results *r)
{
    int failed = 0;
    const mo_lab_trial *first = NULL;
    for (int i = 0; i < r->n_trials; i++) {
        if (r->trials[i].state != MO_TRIAL_FAILED) continue;
        if (failed++ == 0) first = &r->trials[i];
    }
    if (!first) return MO_OK;
    return mo_error(MO_E_CONFIG,
                    "%d of %d trials failed, the first %s: %s. What they said is in log.txt of their "
                    "folders; --retry has them run once more",
                    failed, r->n_trials, first->name, first->message ? first->message : "?");
}

static mo_status finish(const mo_lab_spec *spec)
{
    mo_lab_results results;
    MO_TRY(mo_lab_results_read(spec->dir, &results));
    mo_status status = summarize(spec, &results);
    if (status == MO_OK) status = tell_failures(&results);
    mo_lab_results_free(&results);
    return status;
}

/* ---- the work ---- */

/* This program by its path, which a shell may have found elsewhere than where it is looked for here. */
static void own_path(char *path, size_t size)
{
    ssize_t length = readlink("/proc/self/exe", path, size - 1);
    if (length > 0)
        path[length] = '\0';
    else
        snprintf(path, size, "%s", mo__program());
}

static mo_status do_all(const mo_lab_run_options *options)
{
    char program[4096];
    mo_lab_run_options o = *options;
    mo__lab_view view = {.spec = o.spec, .jobs = o.jobs};
    own_path(program, sizeof program);
    o.program = program;
    o.progress = mo__lab_view_progress;
    o.user = &view;
    mo_status status = mo_lab_run(&o);
    mo__lab_view_free(&view);
    return status == MO_OK ? finish(o.spec) : status;
}

static mo_status tell_collected(const mo_lab_spec *spec)
{
    mo_lab_results r;
    int done = 0, failed = 0;
    MO_TRY(mo_lab_results_read(spec->dir, &r));
    for (int i = 0; i < r.n_trials; i++) {
        done += r.trials[i].state == MO_TRIAL_DONE;
        failed += r.trials[i].state == MO_TRIAL_FAILED;
    }
    printf("%s: %d of %d trials done, %d failed, %d to be run\n", r.path, done, r.n_trials, failed,
           r.n_trials - done - failed);
    mo_lab_results_free(&r);
    return MO_OK;
}

static mo_status work(const mo__lab_choices *c, const mo_lab_spec *spec)
{
    mo_lab_run_options o = {.spec = spec,
                            .program = mo__program(),
                            .jobs = (int)c->jobs,
                            .retry = c->retry,
                            .most = c->yes ? 0 : MOST_VARIANTS,
                            .stop = &mo__stop};
    if (c->list) return mo_lab_list(&o, print_words, NULL);
    if (!c->collect) return do_all(&o);
    MO_TRY(mo_lab_collect(&o));
    return tell_collected(spec);
}

mo_status mo__lab_work(const mo__lab_choices *choices, const mo__words *words, bool compare)
{
    mo_lab_spec spec;
    if (choices->list && choices->collect)
        return mo_error(MO_E_USAGE,
                        "--list collects first, so --collect beside it says nothing; give one of them");
    if (mo_path_is_dir(words->at[0]))
        return mo_error(
            MO_E_USAGE,
            "%s: is a folder; give the experiment's YAML file, or run moira report on an experiment's "
            "folder",
            words->at[0]);
    MO_TRY(mo_lab_spec_load(words->at[0], &spec));
    mo_status status = MO_OK;
    if (spec.compare != compare)
        status = mo_error(MO_E_USAGE, "%s: has %s, so it is for moira %s", spec.path,
                          spec.compare ? "`variants`" : "`parameters`", spec.compare ? "compare" : "sweep");
    if (status == MO_OK) status = work(choices, &spec);
    mo_lab_spec_free(&spec);
    return status;
}
