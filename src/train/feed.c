/* feed.c -- batches into graphs. */
#include <string.h>

#include "train/train_internal.h"

void mo_model_graph_feed(mo_model_graph *t, const mo_batch *batch)
{
    int64_t T = t->sequence_length, N = t->batch_size * T;
    MO_ASSERT(batch->batch_size == t->batch_size && batch->sequence_length == T);
    size_t bytes = (size_t)N * sizeof(int32_t);
    memcpy(t->tokens->data, batch->tokens, bytes);
    memcpy(t->targets->data, batch->targets, bytes);
    memcpy(t->starts->data, batch->starts, bytes);
    int32_t *positions = t->positions->data;
    for (int64_t n = 0; n < N; n++) positions[n] = (int32_t)(n % T) - batch->starts[n];
}
