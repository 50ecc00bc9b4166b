/* storedcase.h -- an op whose weight lies in a file, against the same op with the weight in memory. */
#ifndef MOIRA_TESTS_STOREDCASE_H
#define MOIRA_TESTS_STOREDCASE_H

#include "harness/opcase.h"

/* Input `weight`, a parameter, is rounded to bfloat16, float16 and float32 in turn, and stored so: contract
 * and gradients hold; outputs and gradients are those with the same values in memory, within `tolerance` of
 * their largest (0: the same bits). */
void stored_check(const op_case *c, int weight, double tolerance);

#endif
