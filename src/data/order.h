/* order.h -- which tokens a sequence of a run has: a pure function of (seed, step, row). */
#ifndef MOIRA_DATA_ORDER_H
#define MOIRA_DATA_ORDER_H

#include <moira/data.h>

#include "apportion.h"

typedef struct mo__order_source {
    const mo_tokens *tokens;
    int64_t windows;
    mo_packing packing; /* of whole documents */
    uint64_t seed;
} mo__order_source;

typedef struct mo__order {
    mo__order_source *sources;
    int n_sources;
    mo__apportion shares;
    int64_t sequence_length, per_step; /* per_step: sequences of a step */
    uint64_t row_seed;
} mo__order;

/* The options' sources are taken over but for their tokens; checks every source. */
mo_status mo__order_create(const mo_loader_options *options, mo__order *out);
void mo__order_free(mo__order *order);
/* Sequence c = step * per_step + row: its source, and its place there: the index of its first token, or, of
 * whole documents, its window. */
int mo__order_find(const mo__order *order, int64_t c, int64_t *place);

#endif
