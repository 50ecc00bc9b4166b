/* small_model.h -- models of a few thousand parameters, for tests that look inside. */
#ifndef MOIRA_TESTS_SMALL_MODEL_H
#define MOIRA_TESTS_SMALL_MODEL_H

#include "harness/harness.h"
#include "moira/model.h"

/* Allocated for training, seed 1. What starts at zero is drawn too: a noisy router at zero takes all tokens
 * for alike. The caller frees. */
mo_model *small_model_make(mo_model_config config);
/* Planned, bound to an arena of its own, attached. The caller frees. */
mo_model_graph *small_model_graph(const mo_model *m, mo_model_graph_options options);
/* max |a - b| / max |a| over a parameter's gradients; NaN if there is one. */
double small_model_difference(const mo_real *a, const mo_real *b, int64_t count);

#endif
