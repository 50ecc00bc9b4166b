/* gradcheck.h -- an op's gradient against central differences. */
#ifndef MOIRA_TESTS_GRADCHECK_H
#define MOIRA_TESTS_GRADCHECK_H

#include "harness/opcase.h"

/* In the double build: every element of every differentiable input is moved by +-h, h = 1e-5 max(1, |x|), and
 *     a = gradient by backward, n = (loss(x + h) - loss(x - h)) / 2h,
 *     error = (a - n) / max(|a|, |n|, 0.01 max_j |n_j|, 0.001)
 * must be within +-1e-6 (a NaN fails). Four times: the input's gradient written and added to, and under each
 * recompute policy, whose gradients must be the same bits. An input whose gradient is zero everywhere fails:
 * it was not tested. In the float build only that the policies agree is checked.
 * Appends "op case error" to $MO_GRADCHECK_DIR/<program> if set, for the table of `make gradcheck`. */
void gradcheck(const op_case *c);

#endif
