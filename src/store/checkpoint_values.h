/* checkpoint_values.h -- the numbers of a checkpoint's arrays, whatever type the file has them in. */
#ifndef MOIRA_STORE_CHECKPOINT_VALUES_H
#define MOIRA_STORE_CHECKPOINT_VALUES_H

#include <moira/tensor.h>

#include "h5.h"

/* Whether a type is kept as uint16 with an attribute that names it, which is what makes a file version 2. */
static inline bool mo__values_are_halves(mo_dtype dtype)
{
    return dtype == MO_F16 || dtype == MO_BF16;
}

/* The type in the file of an array to save. */
hid_t mo__values_type(mo_dtype dtype);
/* Names the type on a dataset of halves; nothing to do for others. */
mo_status mo__values_mark(hid_t dataset, mo_dtype dtype);

/* MO_F32, MO_F64, MO_F16 or MO_BF16; MO_E_FORMAT for anything else. */
mo_status mo__values_dtype(const mo__h5_dataset *d, const char *name, mo_dtype *out);
/* All of the dataset; or, if part >= 0, what has that index in the first dimension. Halves go through a
 * buffer of one chunk. */
mo_status mo__values_read(const mo__h5_dataset *d, const char *name, int64_t part, mo_real *out);

#endif
