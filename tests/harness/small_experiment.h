/* small_experiment.h -- results of experiments as trials would have made them, without running any: losses
 * follow a power law of the tokens with an effect of each setting, noise hangs on trial and evaluation alone.
 */
#ifndef MOIRA_TESTS_SMALL_EXPERIMENT_H
#define MOIRA_TESTS_SMALL_EXPERIMENT_H

#include "moira/lab.h"

typedef enum experiment_state {
    EXPERIMENT_DONE,
    EXPERIMENT_GOING, /* some trials run, others wait */
    EXPERIMENT_BEGUN  /* nothing has been evaluated */
} experiment_state;

/* 24 variants: 2 routers x 3 experts per token x 2 coefficients x 2 numbers of experts, 2 seeds. v0006 has
 * failed on both, v0011 on one. */
void experiment_sweep(experiment_state state, mo_lab_results *out);
/* moe, dense-active, dense-total, dense-flops: 5 seeds, 3 tuning trials each, a timing trial each. The
 * reference is dense-active. */
void experiment_compare(experiment_state state, mo_lab_results *out);
/* Every text in it becomes one that would break out of HTML, CSV or a script of gnuplot. */
void experiment_poison(mo_lab_results *r);
extern const char experiment_poison_text[];

#endif
