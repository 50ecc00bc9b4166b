/* rank.h -- the best of many, in a heap.
 *
 * Scores come in the order of topk.h, among equals the one in front. That is a total order of different
 * places: the best `room` of a list are one set, whatever way it is found. */
#ifndef MOIRA_OPS_RANK_H
#define MOIRA_OPS_RANK_H

#include "ops/topk.h"

typedef struct mo__ranked {
    mo_real score;
    int32_t at; /* its place */
} mo__ranked;

static inline bool mo__before(mo__ranked a, mo__ranked b)
{
    return mo__outranks(a.score, b.score) || (!mo__outranks(b.score, a.score) && a.at < b.at);
}

/* A heap has its last on top: nothing comes after its parent. Lets item i down to where it belongs. */
static inline void mo__heap_sink(mo__ranked *heap, int64_t n, int64_t i)
{
    mo__ranked item = heap[i];
    for (int64_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && mo__before(heap[child], heap[child + 1])) child++;
        if (mo__before(heap[child], item)) break;
        heap[i] = heap[child];
    }
    heap[i] = item;
}

static inline void mo__heap_make(mo__ranked *heap, int64_t n)
{
    for (int64_t i = n / 2 - 1; i >= 0; i--) mo__heap_sink(heap, n, i);
}

#endif
