/* cut.h -- how products are cut into tasks: by shapes alone. */
#ifndef MOIRA_TENSOR_CUT_H
#define MOIRA_TENSOR_CUT_H

#include "moira/tensor.h"

static inline int64_t ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

/* How a length is cut: `count` pieces that differ by at most `unit` elements. */
typedef struct cut {
    int64_t length, count, unit;
} cut;

static inline int64_t cut_begin(cut c, int64_t i)
{
    int64_t units = ceil_div(c.length, c.unit);
    int64_t at = units * i / c.count * c.unit;
    return at < c.length ? at : c.length;
}

static inline cut cut_make(int64_t length, int64_t piece)
{
    enum { UNIT = 16 };
    int64_t count = length > 0 ? ceil_div(length, piece) : 0;
    return (cut){length, count, UNIT};
}

/* Experts in falling order of rows (ties: lower id), so that the longest work starts first. */
enum { MAX_SORTED = 1024 };
static inline void sort_experts(int64_t E, const int32_t *offsets_E1, int32_t *order)
{
    for (int32_t e = 0; e < E; e++) {
        int32_t rows = offsets_E1[e + 1] - offsets_E1[e];
        int32_t at = e;
        for (; at > 0 && offsets_E1[order[at - 1] + 1] - offsets_E1[order[at - 1]] < rows; at--)
            order[at] = order[at - 1];
        order[at] = e;
    }
}

#endif
