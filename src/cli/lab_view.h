/* lab_view.h -- what a sweep or a comparison shows while its trials run: a line on stdout for each that
 * ended, and on a terminal a table of those that run. */
#ifndef MOIRA_CLI_LAB_VIEW_H
#define MOIRA_CLI_LAB_VIEW_H

#include <moira/lab.h>

typedef struct mo__lab_view {
    const mo_lab_spec *spec;
    int jobs;
    mo_lab_state *states; /* owned: of trials, as last told */
    int n_states;
    int over;           /* trials that were over at the beginning, and lines since */
    double begin, told; /* mo_clock; told: the last plain line */
    int64_t steps;      /* that trials had done at the beginning */
    bool stopping;
} mo__lab_view;

/* A progress callback of mo_lab_run_options, whose user is the view. */
void mo__lab_view_progress(const mo_lab_progress *progress, void *user);
void mo__lab_view_free(mo__lab_view *view);

#endif
