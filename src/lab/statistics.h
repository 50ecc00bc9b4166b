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

/* Epsilon squared (Kelley 1935): how much of the values' variance lies between groups, less what chance puts
 * there: 1 - (SS_within / (n - G)) / (SS_total / (n - 1)), at least 0. group[i] in 0 .. groups - 1, none of
 * them empty. NaN for one group, or where each value has a group of its own. */
double mo__between(const double *values, const int *group, int count, int groups);
/* How likely chance alone puts as much of the variance between the groups, if values are normal: the F test
 * of one-way analysis of variance, P(F > f) = I_w((n - G)/2, (G - 1)/2) with w = SS_within / SS_total. NaN as
 * above; 1 where all values are the same. */
double mo__between_by_chance(const double *values, const int *group, int count, int groups);

/* I_x(a, b), regularised; y = 1 - x, as exactly as the caller has it (student.c). */
double mo__incomplete_beta(double a, double b, double x, double y);

#endif
