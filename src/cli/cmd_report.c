/* cmd_report.c -- moira report: a page about a run or an experiment, and the same in short on the terminal.
 */
#include <dirent.h>
#include <string.h>

#include "commands.h"
#include "experiment_view.h"
#include "lab/report_write.h"
#include "output.h"
#include "report_json.h"
#include "run_view.h"
#include "session.h"

typedef struct choices {
    const char *output;
    bool json;
} choices;

static const mo__option options[] = {
    MO__OPTION_TEXT(choices, output, "output", 'o', "FILE.html", "",
                    "the page; report.html in the folder by default"),
    MO__OPTION_FLAG(choices, json, "json", "print JSON; no page then, unless -o names one"),
    {.name = NULL},
};

static const mo__output_kind report_kind = {"a report of moira's", MO__REPORT_BEGINS};

static bool is_empty(const char *dir)
{
    DIR *at = opendir(dir);
    bool empty = true;
    for (struct dirent *entry; at && (entry = readdir(at));)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) empty = false;
    if (at) closedir(at);
    return empty;
}

/* A folder that a user has under the name which the data would get is not written into. */
static mo_status check_folder(const char *output)
{
    size_t length = strlen(output);
    if (length < 6 || strcmp(output + length - 5, ".html") != 0)
        return mo_error(MO_E_USAGE, "%s: a report is an HTML file: its name ends in .html", output);
    char *folder = mo_strprintf("%.*s", (int)(length - 5), output);
    if (!folder) return MO_E_MEMORY;
    mo_status status = MO_OK;
    if (!mo_path_exists(output) && mo_path_exists(folder) && !(mo_path_is_dir(folder) && is_empty(folder)))
        status = mo_error(
            MO_E_EXISTS,
            "%s: the page's data would go into %s, which is there already; remove it, or name another file",
            output, folder);
    mo_free(folder);
    return status;
}

/* Before anything is shown. */
static mo_status check_report(const char *path, const char *output)
{
    char *target = *output ? mo_strdup(output) : mo__report_default(path);
    if (!target) return MO_E_MEMORY;
    mo_status status = mo__check_output(target, &report_kind);
    if (status == MO_OK && *output) status = check_folder(output);
    mo_free(target);
    return status;
}

static mo_status write_report(const char *path, const choices *c)
{
    mo_report_options wanted = {path, *c->output ? c->output : NULL};
    mo_report_made made;
    mo__session_begin_work();
    MO_TRY(mo_report_write(&wanted, &made));
    if (made.without_plots)
        mo__say("gnuplot could not be started, or did not end, so the report has no plots; install "
                "gnuplot-nox, and make it "
                "again");
    if (!c->json)
        printf("\nreport       %s, %d plot%s\ndata         %s/*.csv\n", made.html, made.plots,
               made.plots == 1 ? "" : "s", made.data);
    mo_report_made_free(&made);
    return MO_OK;
}

static mo_status report_run(const char *path, const choices *c)
{
    mo__run_metrics m;
    MO_TRY(mo__run_metrics_read(path, MO__RUN_LINES, &m));
    bool page = !c->json || *c->output;
    mo_status status = page ? check_report(path, c->output) : MO_OK;
    if (status == MO_OK) status = c->json ? mo__run_json(&m) : mo__run_print(&m);
    if (status == MO_OK && page) status = write_report(path, c);
    mo__run_metrics_free(&m);
    return status;
}

static mo_status report_experiment(const char *path, const choices *c)
{
    mo_lab_results results;
    mo_answer answer;
    MO_TRY(mo_lab_results_read(path, &results));
    bool page = !c->json || *c->output;
    mo_status status = page ? check_report(path, c->output) : MO_OK;
    if (status == MO_OK) status = mo_answer_of(&results, &answer);
    if (status == MO_OK) {
        status = c->json ? mo__experiment_json(&results, &answer) : mo__experiment_print(&results, &answer);
        mo_answer_free(&answer);
    }
    if (status == MO_OK && page) status = write_report(path, c);
    mo_lab_results_free(&results);
    return status;
}

static mo_status run(const void *given, const mo__words *words)
{
    const choices *c = given;
    mo__report_of kind;
    MO_TRY(mo__report_kind(words->at[0], &kind));
    return kind == MO__REPORT_OF_RUN ? report_run(words->at[0], c) : report_experiment(words->at[0], c);
}

const mo__command mo__cmd_report = {
    .name = "report",
    .summary = "write a page about a run, a sweep or a comparison",
    .synopsis = "RUN | EXPERIMENT [-o FILE.html] [--json]",
    .text =
        "Writes one HTML file that needs nothing beside itself: no network, no script; it is light or dark "
        "as\n"
        "the reader's screen is, and can be printed. The data of each plot is a CSV in a folder beside it,\n"
        "named as the page without .html. What matters most is said on the terminal too.\n"
        "\n"
        "RUN is a run's folder: losses and the course of training; balance, entropy and the load of every\n"
        "expert over time; experts by domain, where the data has domains; steps whose loss jumped. The run\n"
        "may still go on, or have been killed.\n"
        "\n"
        "EXPERIMENT is the folder of a sweep or a comparison, or its results.db: the answer with its\n"
        "uncertainty, tables, curves, and what each trial came to.\n"
        "\n"
        "Plots are drawn by gnuplot. Without it the page has its tables, and says so.\n"
        "\n"
        "--json prints what was found in place of the summary: answer (a sentence or two), trials with\n"
        "their evaluations, variants with means and 95% intervals, of a comparison findings and contrasts,\n"
        "of a sweep effects.\n"
        "A run is the only trial of its own.\n",
    .example = "  moira report checkpoints/demo\n"
               "  moira report experiments/gating-sweep -o sweep.html\n"
               "  moira report experiments/gating-sweep --json | jq -r .answer\n",
    .options = options,
    .options_size = sizeof(choices),
    .word = "RUN",
    .least = 1,
    .most = 1,
    .run = run,
};
