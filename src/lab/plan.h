/* plan.h -- which trials an experiment calls for, as far as its results tell by now.
 *
 * A function of what was asked and of results alone: the next rung of halving, values that tuning chose and
 * trials that time come when what they hang on is over, whoever ended first. */
#ifndef MOIRA_LAB_PLAN_H
#define MOIRA_LAB_PLAN_H

#include "moira/lab.h"

typedef struct mo__trial_plan {
    mo_lab_trial
        *trials; /* name, variant, stage, seed, tuned, rung, target_step; names and tuned are owned */
    int count;
} mo__trial_plan;

/* eval_every: of the variants' configs, all alike, for halving. MO_E_CONFIG of mo__halving_plan, or if
 * variants that are halved have trials of several lengths. */
mo_status mo__trial_plan_make(const mo_lab_spec *spec, const mo_lab_results *now, int64_t eval_every,
                              mo__trial_plan *out);
void mo__trial_plan_free(mo__trial_plan *plan);

#endif
