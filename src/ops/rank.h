/* rank.h -- the best of many scores, in the order of topk.h: found by their bits, in time that does not hang
 * on the scores.
 *
 *     mo__best best = mo__best_of(ranks, n, room);
 *     for (int64_t i = 0; i < n; i++)
 *         if (mo__best_takes(&best, ranks[i])) ...        room times; among equals the first */
#ifndef MOIRA_OPS_RANK_H
#define MOIRA_OPS_RANK_H

#include "ops/kernels.h"

/* Larger for scores that come first, equal for equal ones; 0 is below every score. */
#ifdef MO_REAL_DOUBLE
typedef uint64_t mo__rank;
#else
typedef uint32_t mo__rank;
#endif

/* IEEE numbers of one sign order as their bits do. A NaN comes before every number; -0 is 0. */
static inline mo__rank mo__rank_of(mo_real score)
{
    const mo__rank sign = (mo__rank)1 << (8 * sizeof(mo__rank) - 1);
    mo__rank bits;
    if (isnan(score)) return ~(mo__rank)0;
    score += 0;
    memcpy(&bits, &score, sizeof bits);
    return bits & sign ? ~bits : bits | sign;
}

/* Those above `least`, and the first `equal` of those at it, of the leading digits in `mask`. */
typedef struct mo__best {
    mo__rank mask, least;
    int64_t equal;
} mo__best;

/* The best `room` of n, 0 <= room <= n. */
mo__best mo__best_of(const mo__rank *ranks, int64_t n, int64_t room);

/* To be asked of all n, in order. */
static inline bool mo__best_takes(mo__best *best, mo__rank rank)
{
    rank &= best->mask;
    return rank == best->least ? best->equal-- > 0 : rank > best->least;
}

#endif
