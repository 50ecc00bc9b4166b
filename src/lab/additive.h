/* additive.h -- what each of several factors does to a value, the others being held equal.
 *
 *     y_i = mean + sum over factors f of effect(f, level of i in f) + e_i,     least squares
 *
 * Designs may be unbalanced, and rank-deficient: what cannot be estimated is told as such. */
#ifndef MOIRA_LAB_ADDITIVE_H
#define MOIRA_LAB_ADDITIVE_H

#include "moira/lab.h"

typedef struct mo__factor {
    const int *level; /* [n] 0 .. levels - 1 */
    int levels;
} mo__factor;

typedef struct mo__additive {
    double squares; /* left of y: sum e_i^2 */
    int degrees;    /* n - rank */
    /* the rest is additive.c's */
    double *swept; /* [(columns + 1)^2] */
    double *share; /* [columns] mean of a column: a level's share of the rows */
    bool *kept;    /* [columns] no combination of those before */
    double mean;
    int columns;
} mo__additive;

enum { MO__MOST_COLUMNS = 300 };
/* 1 and a column for each level but the first of each factor. */
int mo__additive_columns(const mo__factor *factors, int count);
/* n >= 1, at most MO__MOST_COLUMNS columns. MO_E_MEMORY. */
mo_status mo__additive_fit(const double *y, int n, const mo__factor *factors, int count, mo__additive *out);
void mo__additive_free(mo__additive *fit);
/* Mean of the fitted values if all n were of that level of a factor and as they are in the others; *variance
 * is that of it in units of e's. NaN where the rows do not tell it. */
double mo__additive_mean(const mo__additive *fit, const mo__factor *factors, int factor, int level,
                         double *variance);

#endif
