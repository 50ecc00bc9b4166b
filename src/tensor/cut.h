/* cut.h -- how the output of a product is cut into tasks. Its bits do not depend on that. */
#ifndef MOIRA_TENSOR_CUT_H
#define MOIRA_TENSOR_CUT_H

#include "moira/tensor.h"

static inline int64_t ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

/* A length in `count` pieces that differ by at most `unit` elements. */
typedef struct cut {
    int64_t length, count, unit;
} cut;

static inline int64_t cut_begin(cut c, int64_t i)
{
    int64_t units = ceil_div(c.length, c.unit);
    int64_t at = units * i / c.count * c.unit;
    return at < c.length ? at : c.length;
}

/* Pieces of at most `piece` elements, a multiple of `unit`. */
static inline cut cut_make(int64_t length, int64_t piece, int64_t unit)
{
    return (cut){length, length > 0 ? ceil_div(length, piece) : 0, unit};
}

#endif
