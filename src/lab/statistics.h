/* statistics.h -- what mo_estimate_of and mo_estimate_paired (moira/lab.h) do not say: ratios, medians,
 * analysis of variance. Nothing here allocates but what says so. */
#ifndef MOIRA_LAB_STATISTICS_H
#define MOIRA_LAB_STATISTICS_H

#include "moira/lab.h"

/* Of ratios above 0: geometric mean; low and high from the interval of the mean logarithm; deviation of the
 * logarithms. Values that are NaN are left out; those that are not above 0 count as NaN. MO_E_MEMORY. */
mo_status mo__estimate_ratios(const double *ratios, int count, mo_estimate *out);

/* The middle one, or the mean of the middle two, of those that are numbers; NaN of none. Reorders. */
double mo__median(double *values, int count);

/* Deviation that is left of x[rows][columns] when the mean of each row and of each column is taken off:
 *     s^2 = sum (x_rc - x_r. - x_.c + x_..)^2 / ((rows - 1)(columns - 1))
 * *degrees is that divisor. NaN where it is 0. All x are numbers. */
double mo__residual(const double *x, int rows, int columns, double *degrees);

/* P(F > f) of Fisher's F, f >= 0, both degrees > 0: student.c */
double mo__f_beyond(double f, double degrees, double degrees_left);

#endif
