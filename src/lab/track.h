/* track.h -- a trial's validation loss over what it had spent, in one unit. */
#ifndef MOIRA_LAB_TRACK_H
#define MOIRA_LAB_TRACK_H

#include "moira/lab.h"

typedef struct mo__track {
    double *x, *loss; /* [n] one allocation, x above 0 and rising */
    int n;
} mo__track;

/* Evaluations that have a loss and come after something was spent. step_seconds: of MO_AXIS_SECONDS; NaN: as
 * trained. MO_E_MEMORY. */
mo_status mo__track_of(const mo_lab_trial *trial, mo_axis axis, double step_seconds, mo__track *out);
void mo__track_free(mo__track *track);

/* Loss at x, on a straight line between two evaluations; NaN before the first and after the last. */
double mo__track_at(const mo__track *track, double x);

/* From which x on the loss is `loss` or less to the end, on the line between the last evaluation above it and
 * the next; the first x if none is above it; NaN if the last one is. */
double mo__track_has(const mo__track *track, double loss);

static inline double mo__track_end(const mo__track *t)
{
    return t->x[t->n - 1];
}
static inline double mo__track_final(const mo__track *t)
{
    return t->loss[t->n - 1];
}

#endif
