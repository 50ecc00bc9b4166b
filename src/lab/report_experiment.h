/* report_experiment.h -- the report of a sweep or a comparison: its answer first, then what it stands on.
 *
 * Parts write into the page that is open; what goes wrong is in report->status. */
#ifndef MOIRA_LAB_REPORT_EXPERIMENT_H
#define MOIRA_LAB_REPORT_EXPERIMENT_H

#include "lab/plot.h"

/* Writes the page `output` and its data beside it. */
mo_status mo__report_experiment(const mo_lab_results *results, const char *output, mo_report_made *made);

typedef struct mo__experiment_page {
    mo__report *report;
    const mo_lab_results *results;
    const mo_answer *answer;
} mo__experiment_page;

/* report_sweep.c: ranking, loss against seconds. report_effects.c: what parameters do. report_compare.c:
 * variants, contrasts, tuning. */
void mo__report_sweep(const mo__experiment_page *page);
void mo__report_effects(const mo__experiment_page *page);
void mo__report_compare(const mo__experiment_page *page);
/* The answer's notes. */
void mo__report_notes(const mo__experiment_page *page);
/* report_trials.c: every trial, the failed ones with their messages first. */
void mo__report_trials(const mo__experiment_page *page);

/* report_curves.c: the variants' losses along the axis, MO__COLOURS of them at most; those of a comparison
 * as distances to the reference. */
void mo__report_losses(const mo__experiment_page *page, const int *variants, int count, mo_axis axis);
void mo__report_distances(const mo__experiment_page *page, mo_axis axis);

/* Memory that plots need while they are drawn: zeroed doubles; NULL, and told to the report, if there is
 * none. */
double *mo__report_numbers(mo__report *report, int64_t count);
/* mo__report_csv of what was put together in `csv`, which is freed. */
void mo__report_csv_end(mo__report *report, const char *name, mo__csv *csv);

#endif
