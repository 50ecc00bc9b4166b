/* shard_write.h -- safetensors files, written front to back.
 *
 *     mo__shard_writer w;
 *     MO_TRY(mo__shard_begin(path, entries, n, &w));       header
 *     MO_TRY(mo__shard_values(&w, &entries[i], x, count)); the entries' values in order, in any pieces
 *     status = mo__shard_end(&w, status);                  synced */
#ifndef MOIRA_HF_SHARD_WRITE_H
#define MOIRA_HF_SHARD_WRITE_H

#include "hf/places.h"
#include "hf/safetensors.h"

typedef struct mo__shard_entry {
    char name[MO__PLACE_NAME];
    mo_dtype dtype;
    int ndim;
    int64_t dim[4];
    int64_t bytes;
} mo__shard_entry;

typedef struct mo__shard_writer {
    char *path; /* owned */
    FILE *file;
    void *narrow; /* of one piece */
} mo__shard_writer;

mo_status mo__shard_begin(const char *path, const mo__shard_entry *const *entries, int64_t n,
                          mo__shard_writer *w);
/* MO_E_RANGE: a value that its type cannot hold (names tensor and value). */
mo_status mo__shard_values(mo__shard_writer *w, const mo__shard_entry *entry, const mo_real *x,
                           int64_t count);
/* Closes; status: how it went so far. */
mo_status mo__shard_end(mo__shard_writer *w, mo_status status);

#endif
