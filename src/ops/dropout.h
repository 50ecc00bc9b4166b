/* dropout.h -- the masks of the ops that drop: elements of the residual stream, or attention probabilities.
 *
 * Element i of a stream is dropped where word i mod 4 of mo_rng_bits(seed, MO_RNG_DROPOUT, step, stream, i /
 * 4) is below p 2^32: a mask is a function of its place, is never stored, and backward makes it again. */
#ifndef MOIRA_OPS_DROPOUT_H
#define MOIRA_OPS_DROPOUT_H

#include "moira/autograd.h"

typedef struct mo__dropout {
    double p;   /* probability of dropping, in [0, 1) */
    int stream; /* every use in a model has its own */
} mo__dropout;

/* Cost of a factor, in operations: a Philox call of some 100 gives four. */
enum { MO_DROPOUT_OPERATIONS = 25 };

/* factor_j = 0 where element first + j of the stream is dropped, else 1 / (1 - p); without run->training 1.
 */
void mo__dropout_factors(const mo__dropout *d, const mo_run *run, uint64_t first, int64_t n, mo_real *factor);
/* MO_E_RANGE unless p is in [0, 1) and stream in [0, 2^24). */
mo_status mo__dropout_check(const char *op, const mo__dropout *d);

#endif
