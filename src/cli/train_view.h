/* train_view.h -- what a training run shows while it goes on. */
#ifndef MOIRA_CLI_TRAIN_VIEW_H
#define MOIRA_CLI_TRAIN_VIEW_H

#include <moira/train.h>

typedef struct mo__train_view {
    int64_t first_step, step, steps;
    unsigned shown; /* columns of its table, a bit for each */
    int64_t dead;   /* experts, at the last report */
    double flops_per_token, max_vio, begin;
    double blocked, background; /* seconds of all saves */
    double startup; /* seconds from the program's start to the end of the first step; 0 before it */
    double waited;  /* seconds for data */
    char *sources;  /* owned: losses of the last evaluation by source; NULL without a mixture */
} mo__train_view;

/* Callbacks of mo_train_events, whose user is the view. */
mo_train_events mo__train_view_events(mo__train_view *view);
/* The profile callback, for --profile. */
void mo__train_view_profile(const mo_profile *profile, void *user);
/* The last lines: what was done, and where its results are. */
mo_status mo__train_view_end(const mo__train_view *view, const mo_run_config *config,
                             const mo_step_report *last);
void mo__train_view_free(mo__train_view *view);

#endif
