/* halving.h -- the schedule of synchronous successive halving (Jamieson & Talwalkar 2016, arXiv:1502.07943,
 * algorithm 1): all variants of a rung get to its step before any is dropped, so what comes of it does not
 * depend on who was first.
 *
 * Pure functions. A rung's steps are counted from the start of a trial: who goes on is gone on with. */
#ifndef MOIRA_LAB_HALVING_H
#define MOIRA_LAB_HALVING_H

#include "moira/lab.h"

enum { MO__MOST_RUNGS = 40 };

typedef struct mo__halving {
    int rungs;
    int64_t step[MO__MOST_RUNGS];     /* first_steps * factor^r, rounded; the last is `steps` */
    int64_t variants[MO__MOST_RUNGS]; /* how many of all begin the rung: all, then all / factor^r, rounded
                                         down, at least 1 */
} mo__halving;

/* steps: of a whole trial. A rung that would be nearer to the end than a root of the factor is left out.
 * MO_E_CONFIG: factor not above 1, first_steps not in 1 .. steps - 1, or a rung but the last (a run's end is
 * always evaluated) that is no multiple of eval_every: the message says which one would do. */
mo_status mo__halving_plan(int64_t variants, int64_t first_steps, double factor, int64_t steps,
                           int64_t eval_every, mo__halving *out);

/* The order of losses, smallest first, equal ones by index; those that are no finite number come last. Fills
 * order[count]; returns how many are numbers. */
int mo__rank(const double *losses, int count, int *order);

/* Who begins rung r + 1, given all variants' losses at the end of rung r (mean over seeds; NaN: it failed or
 * was dropped before): the first order[..result] of the ranking. Fewer than planned, if fewer have a loss. */
int mo__halving_survivors(const mo__halving *plan, int rung, const double *losses, int count, int *order);

#endif
