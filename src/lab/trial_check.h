/* trial_check.h -- whether a run folder is of a trial, or of another one that had its name before. */
#ifndef MOIRA_LAB_TRIAL_CHECK_H
#define MOIRA_LAB_TRIAL_CHECK_H

#include "moira/lab.h"

/* Holds config.yaml of the trial's folder against what the trial is run with, in all that its figures hang
 * on. MO_E_MISMATCH names what differs; a folder without a run is MO_OK. */
mo_status mo__trial_check(const mo_lab_spec *spec, const mo_lab_results *now, const mo_lab_trial *trial);

#endif
