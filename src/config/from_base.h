/* from_base.h -- what init.from gives a config. */
#ifndef MOIRA_CONFIG_FROM_BASE_H
#define MOIRA_CONFIG_FROM_BASE_H

#include "schema.h"

/* Opens the base of a config that names one, and gives it the base's model and balancing losses wherever
 * given[key] says that nothing else did; those are given then. MO_E_MISMATCH for settings whose parameters
 * are not the base's names them and both values; a setting that changes what the base computes is warned of.
 */
mo_status mo__base_apply(mo_run_config *config, int *given);

#endif
