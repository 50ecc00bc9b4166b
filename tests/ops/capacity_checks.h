/* capacity_checks.h -- what the tests of the ops of capacity share. */
#ifndef MOIRA_TESTS_OPS_CAPACITY_CHECKS_H
#define MOIRA_TESTS_OPS_CAPACITY_CHECKS_H

#include "checks.h"

/* The case against `group` of golden/ops_capacity.h5. */
static inline void check_capacity_golden(const char *group, const op_case *c, double tolerance)
{
    check_golden("ops_capacity", group, c, tolerance);
}

/* By the definition: larger first, NaN before every number. */
static inline bool outranks(double a, double b)
{
    return a > b || (isnan(a) && !isnan(b));
}

static inline int valid_tokens(const int32_t *tokens, int64_t from, int64_t to)
{
    int valid = 0;
    for (int64_t n = from; n < to; n++) valid += tokens[n] >= 0;
    return valid;
}

#endif
