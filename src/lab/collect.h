/* collect.h -- what a trial's run folder says became of it. */
#ifndef MOIRA_LAB_COLLECT_H
#define MOIRA_LAB_COLLECT_H

#include "moira/lab.h"

/* Reads trial->dir into the trial: step, evaluations up to target_step, seconds, step_seconds, max_vio,
 * entropy, dropped; loss, and MO_TRIAL_DONE, if it has got to target_step, or its run is over for another
 * reason (eval.patience), and there is a validation loss of that step: a signal may have come before the
 * evaluation, and data without a validation split never has one. Else the state stays. What is not known yet
 * is NaN; no folder, and a run without a line yet, is step 0. Names, messages and times are not touched;
 * evaluations that were there are freed.
 *
 * Statuses of mo__run_metrics_read; MO_E_MISMATCH: the run in that folder has another seed, so it is not this
 * trial. The trial is as it was then. */
mo_status mo__trial_collect(mo_lab_trial *trial);

#endif
