/* map_rows.h -- single rows between tokens and experts, for gather.c and combine.c (each is the other's
 * backward), and which of its token's choices a row is. */
#ifndef MOIRA_OPS_MAP_ROWS_H
#define MOIRA_OPS_MAP_ROWS_H

#include "ops/kernels.h"

/* to = from_[token]; 0 without a token. */
static inline void mo__take_row(mo_real *to, const mo_real *from_ND, int32_t token, int64_t D)
{
    if (token >= 0)
        memcpy(to, from_ND + token * D, (size_t)D * sizeof *to);
    else
        memset(to, 0, (size_t)D * sizeof *to);
}

static inline void mo__add_row(mo_real *to, const mo_real *from, int64_t D)
{
#pragma omp simd
    for (int64_t d = 0; d < D; d++) to[d] += from[d];
}

/* to (+)= sum_k from_[row_k] in the order of k; a row of -1 is none. */
static inline void mo__sum_rows(mo_real *to, const mo_real *from_RD, const int32_t *row_K, bool add,
                                int64_t K, int64_t D)
{
    for (int64_t k = 0; k < K; k++) {
        if (row_K[k] < 0) continue;
        if (add)
            mo__add_row(to, from_RD + row_K[k] * D, D);
        else
            memcpy(to, from_RD + row_K[k] * D, (size_t)D * sizeof *to);
        add = true;
    }
    if (!add) memset(to, 0, (size_t)D * sizeof *to);
}

/* k with row_K[k] = row, of which there is one. No search that stops: its end could not be foretold. */
static inline int64_t mo__choice_of(const int32_t *row_K, int64_t row, int64_t K)
{
    int64_t choice = 0;
    for (int64_t k = 0; k < K; k++) choice += row_K[k] == row ? k : 0;
    return choice;
}

#endif
