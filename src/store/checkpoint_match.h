/* checkpoint_match.h -- whether a file has the arrays that are asked of it. */
#ifndef MOIRA_STORE_CHECKPOINT_MATCH_H
#define MOIRA_STORE_CHECKPOINT_MATCH_H

#include <moira/checkpoint.h>

#include "h5.h"

/* Each group that the arrays name is looked at as a whole. MO_E_MISMATCH: one message lists every name that
 * is missing, unexpected or of another shape; MO_E_FORMAT: not an array of ours. */
mo_status mo__match_arrays(hid_t file, const mo_checkpoint_array *arrays, int n);
/* One array alone, opened: the caller closes it. */
mo_status mo__match_one(hid_t file, const mo_checkpoint_array *array, mo__h5_dataset *out);

#endif
