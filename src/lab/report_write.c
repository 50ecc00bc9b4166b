/* report_write.c -- the report of whatever a path is. */
#include "lab/report_write.h"

#include "lab/report_experiment.h"
#include "lab/report_run.h"

static mo_status has(const char *dir, const char *name, bool *out)
{
    char *path = mo_path_join(dir, name);
    if (!path) return MO_E_MEMORY;
    *out = mo_path_exists(path);
    mo_free(path);
    return MO_OK;
}

mo_status mo__report_kind(const char *path, mo__report_of *out)
{
    bool is = mo_path_exists(path) && !mo_path_is_dir(path);
    *out = MO__REPORT_OF_EXPERIMENT;
    if (!is) MO_TRY(has(path, "results.db", &is));
    if (is) return MO_OK;
    *out = MO__REPORT_OF_RUN;
    MO_TRY(has(path, "config.yaml", &is));
    if (is) return MO_OK;
    if (!mo_path_exists(path)) return mo_error(MO_E_NOT_FOUND, "%s: no such folder", path);
    return mo_error(
        MO_E_NOT_FOUND,
        "%s: is neither the folder of a run, which has config.yaml, nor that of an experiment, which has "
        "results.db",
        path);
}

char *mo__report_default(const char *path)
{
    char *dir = mo_path_is_dir(path) ? mo_strdup(path) : mo_path_dir(path);
    char *output = dir ? mo_path_join(dir, "report.html") : NULL;
    mo_free(dir);
    return output;
}

static mo_status report_experiment(const char *path, const char *output, mo_report_made *made)
{
    mo_lab_results results;
    MO_TRY(mo_lab_results_read(path, &results));
    mo_status status = mo__report_experiment(&results, output, made);
    mo_lab_results_free(&results);
    return status;
}

mo_status mo_report_write(const mo_report_options *options, mo_report_made *out)
{
    mo__report_of kind;
    MO_TRY(mo__report_kind(options->path, &kind));
    char *output = options->output ? mo_strdup(options->output) : mo__report_default(options->path);
    if (!output) return MO_E_MEMORY;
    mo_status status = kind == MO__REPORT_OF_RUN ? mo__report_run(options->path, output, out)
                                                 : report_experiment(options->path, output, out);
    mo_free(output);
    return status;
}
