/* choose.h -- K different experts at random, for routers that do not learn. */
#ifndef MOIRA_OPS_CHOOSE_H
#define MOIRA_OPS_CHOOSE_H

#include "ops/kernels.h"

/* Where the random numbers of one choice come from: item 0, 1, 2, ... of (seed, purpose, step, layer). */
typedef struct mo__lot {
    uint64_t seed;
    mo_rng_purpose purpose;
    uint64_t step;
    uint32_t layer;
    uint64_t item;
} mo__lot;

/* ids[K] of 0 .. E-1, all ordered choices of K different ones equally likely (to K / 2^32), by Floyd's
 * sampling (Bentley & Floyd 1987), shuffled. A pure function of the lot, E and K. */
void mo__choose(int32_t *ids, int64_t E, int64_t K, mo__lot lot);
/* Operations of one id. */
enum { MO_CHOOSE_OPERATIONS = 60 };

#endif
