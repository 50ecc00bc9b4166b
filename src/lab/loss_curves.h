/* loss_curves.h -- validation loss along tokens, FLOPs or seconds: a variant's over its seeds, and its
 * distance to another variant's, seed by seed. Seconds are those of mo_contrast.
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

mo_status mo__losses_of(const mo_lab_results *results, int variant, mo_axis axis, mo__losses *out);
/* variant's loss - reference's at equal x, by linear interpolation, at the evaluations of both, as far as all
 * seeds that both have got. */
mo_status mo__losses_between(const mo_lab_results *results, int variant, int reference, mo_axis axis,
                             mo__losses *out);
void mo__losses_free(mo__losses *losses);

#endif
