/* kernels.h -- what every op file starts from: the public constructors, the maths of rows, shape text. */
#ifndef MOIRA_OPS_KERNELS_H
#define MOIRA_OPS_KERNELS_H

#include <math.h>
#include <string.h>

#include "moira/ops.h"
#include "ops/list.h"
#include "tensor/rows.h"

static inline int64_t mo_min(int64_t a, int64_t b)
{
    return a < b ? a : b;
}
static inline int64_t mo_max(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* Added to a sum of scores before dividing by it, so that scores of 0 have shares of 0: what DeepSeek-V3's
 * published code adds. */
#define MO_SUM_FLOOR MO_C(1e-20)

/* "[4096, 256]" of a tensor, for messages. */
typedef struct mo_shape_text {
    char text[96];
} mo_shape_text;
mo_shape_text mo_shape(const mo_tensor *t);

#endif
