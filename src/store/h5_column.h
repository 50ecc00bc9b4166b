/* h5_column.h -- a one-dimensional dataset that is written from its first element to its last.
 *
 * Memory: 16 chunks, beside the pack, which all columns of a file share. */
#ifndef MOIRA_STORE_H5_COLUMN_H
#define MOIRA_STORE_H5_COLUMN_H

#include "h5_pack.h"

typedef struct mo__column mo__column;
/* width: bytes of an element of `type`; a chunk has chunk_bytes, a multiple of width. */
mo_status mo__column_create(hid_t group, const char *name, hid_t type, size_t width, size_t chunk_bytes,
                            int level, mo__pack *pack, mo__column **out);
mo_status mo__column_append(mo__column *column, const void *elements, int64_t count);
/* Writes what is left. The dataset then has exactly the elements appended. */
mo_status mo__column_finish(mo__column *column);
void mo__column_free(mo__column *column);

#endif
