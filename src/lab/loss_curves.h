/* loss_curves.h -- validation loss along tokens, FLOPs or seconds: a variant's over its seeds, and its
 * distance to another variant's, seed by seed.
 *
 * Of a variant's trials of the main stage those count that are done; if none is, those that have evaluations.
 * A point is where all of these have been evaluated, so that a curve never jumps because a seed has ended. */
#ifndef MOIRA_LAB_LOSS_CURVES_H
#define MOIRA_LAB_LOSS_CURVES_H

#include "moira/lab.h"

typedef struct mo__losses {
    double *x;          /* [count] ascending: tokens read, FLOPs, or seconds; owned, as are the others */
    double *mean;       /* nats per token */
    double *low, *high; /* of a curve the least and the largest of its seeds; of a difference the 95% interval
                           of the mean, NaN for one seed */
    int count, seeds;
} mo__losses;

/* What a trial had spent at an evaluation. Seconds are steps * step_seconds of the variant's timing trial,
 * where it is done; else as that trial was trained. */
double mo__lab_spent(const mo_lab_results *results, const mo_lab_trial *trial, const mo_lab_evaluation *at,
                     mo_axis axis);
/* Seconds of a step by the variant's timing trial; NaN without one that is done. */
double mo__lab_timed_step(const mo_lab_results *results, int variant);

mo_status mo__losses_of(const mo_lab_results *results, int variant, mo_axis axis, mo__losses *out);
/* variant's loss - reference's at equal x, by linear interpolation, at the variant's evaluations and at the
 * reference's, as far as all seeds of both have got. */
mo_status mo__losses_between(const mo_lab_results *results, int variant, int reference, mo_axis axis,
                             mo__losses *out);
void mo__losses_free(mo__losses *losses);

#endif
