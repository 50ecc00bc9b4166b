/* experiment.h -- an experiment at work: its folder held, its results in memory and in its file.
 *
 * While the folder is held nobody else writes results, so what is in memory is what is in the file. */
#ifndef MOIRA_LAB_EXPERIMENT_H
#define MOIRA_LAB_EXPERIMENT_H

#include "lab/store.h"

typedef struct mo__experiment {
    const mo_lab_run_options *options;
    mo_lab_results now;
    mo__store *store;
    int64_t eval_every; /* of its variants */
    char *lock_path;
    int lock; /* -1 */
} mo__experiment;

/* Holds the folder, makes results.db if it is not there, and plans. Nothing is written before the variants
 * have been looked at. MO_E_EXISTS: another process holds it. */
mo_status mo__experiment_open(const mo_lab_run_options *options, mo__experiment *out);
void mo__experiment_close(mo__experiment *e);

/* Plans anew; all trials may lie elsewhere then. */
mo_status mo__experiment_plan(mo__experiment *e);
/* What the trial's folder says became of it (mo__trial_collect), if the run in it is the trial's. */
mo_status mo__experiment_collect(const mo__experiment *e, mo_lab_trial *trial);
/* What became of one of e->now's trials. */
mo_status mo__experiment_record(mo__experiment *e, const mo_lab_trial *trial);
/* The trial with that id, which is there. */
mo_lab_trial *mo__experiment_trial(mo__experiment *e, int64_t id);
/* Its message, replaced; NULL: none. Takes `message` over. */
void mo__trial_message(mo_lab_trial *trial, char *message);
double mo__seconds_since_1970(void);

#endif
