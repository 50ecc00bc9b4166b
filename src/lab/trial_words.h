/* trial_words.h -- the command that runs a trial. */
#ifndef MOIRA_LAB_TRIAL_WORDS_H
#define MOIRA_LAB_TRIAL_WORDS_H

#include "lab/settings.h"

/* PROGRAM train CONFIG settings... run.*, and as far as the trial's target. `resume`: its folder has a run.
 * Words are added to `out`, and end without a NULL. */
mo_status mo__trial_words(const char *program, const mo_lab_spec *spec, const mo_lab_results *now,
                          const mo_lab_trial *trial, int threads, bool resume, mo__word_list *out);
/* The same of a run that tells how long a step of a model takes, in `dir`. */
mo_status mo__timing_words(const char *program, const char *config, const mo_lab_settings *settings,
                           int64_t steps, const char *dir, int threads, mo__word_list *out);

#endif
