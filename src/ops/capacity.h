/* capacity.h -- how many tokens an expert takes, for capacity.c and expert_choice.c. */
#ifndef MOIRA_OPS_CAPACITY_H
#define MOIRA_OPS_CAPACITY_H

#include "ops/kernels.h"

/* min(valid, ceil(factor * choices / experts)): an expert gets a token once at most. */
int64_t mo__capacity(double factor, int64_t choices, int64_t experts, int64_t valid);
/* MO_OK, or the error of a factor that is no finite number above 0. */
mo_status mo__factor_check(const char *op, double factor);
/* Tokens of a group that are no padding. */
int64_t mo__valid_tokens(const int32_t *tokens, int64_t group);

#endif
