/* topk.h -- the order by which selections rank experts, and the list of the best of a row.
 *
 * Equal scores: the lowest id first. A NaN ranks above every number (as torch.topk has it), so that it is
 * chosen and reaches the loss instead of hiding. */
#ifndef MOIRA_OPS_TOPK_H
#define MOIRA_OPS_TOPK_H

#include "ops/kernels.h"

static inline bool mo__outranks(mo_real a, mo_real b)
{
    return a > b || (isnan(a) && !isnan(b));
}

/* What ranks expert e: its score, plus its bias if there are biases. */
static inline mo_real mo__biased(const mo_real *score, const mo_real *bias, int64_t e)
{
    return bias ? score[e] + bias[e] : score[e];
}

/* ids[K] has the best `filled` so far, in falling order; takes in the experts first .. last - 1, which are
 * higher ids than any before. Returns how many ids there are now. */
int64_t mo__topk_insert(int32_t *ids, int64_t filled, const mo_real *score, const mo_real *bias,
                        int64_t first, int64_t last, int64_t K);
/* A row without choices: padding. */
static inline void mo__no_ids(int32_t *ids, int64_t K)
{
    for (int64_t k = 0; k < K; k++) ids[k] = -1;
}

#endif
