/* combine.h -- values of a sweep's parameters, put together: all of them, or drawn. */
#ifndef MOIRA_LAB_COMBINE_H
#define MOIRA_LAB_COMBINE_H

#include "settings.h"

/* Gets each combination, borrowed; `taken` says whether it counts (a rule may leave it out). */
typedef mo_status mo__combination_fn(const mo_lab_settings *chosen, bool *taken, void *user);

/* By the spec's strategy. Of a grid the first parameter changes last. Drawings are distinct; the first of
 * them are the same however many are asked for. `base` is the base config with what is set: what a condition
 * looks at where the parameter it hangs on is not there itself. MO_E_CONFIG if there are not as many drawings
 * as are asked for. */
mo_status mo__combine(const mo_lab_spec *spec, const mo_run_config *base, mo__combination_fn *emit,
                      void *user);

#endif
