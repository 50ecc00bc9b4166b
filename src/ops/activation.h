/* activation.h -- the activation functions, for act.c and glu.c. */
#ifndef MOIRA_OPS_ACTIVATION_H
#define MOIRA_OPS_ACTIVATION_H

#include "moira/ops.h"

/* Elements that a thread takes at a time; the length of buffers for f and slope. */
enum { MO_ACT_BLOCK = 1024 };

/* f_i = act(x_i) and slope_i = act'(x_i) of n elements; slope may be NULL. f may be x. */
void mo__activate(mo_act_kind kind, const mo_real *x, int64_t n, mo_real *f, mo_real *slope);
bool mo__act_known(mo_act_kind kind);

#endif
