/* shards.h -- all tensors of a folder: model.safetensors, or the files that model.safetensors.index.json
 * names. */
#ifndef MOIRA_HF_SHARDS_H
#define MOIRA_HF_SHARDS_H

#include "hf/safetensors.h"

#define MO__SINGLE_NAME "model.safetensors"
#define MO__INDEX_NAME  "model.safetensors.index.json"

typedef struct mo__found_tensor {
    const char *name; /* borrowed from tensor */
    const mo__shard_tensor *tensor;
    const mo__shard *shard;
    bool used; /* accounted for */
} mo__found_tensor;

typedef struct mo__shards {
    mo__shard *at; /* by name */
    int n;
    mo__found_tensor *tensors; /* of all files, by name */
    int64_t n_tensors;
} mo__shards;

/* Statuses of mo__shard_open; MO_E_MISMATCH where the index and the files disagree about who has what. */
mo_status mo__shards_open(const char *dir, mo__shards *out);
void mo__shards_close(mo__shards *s);
mo__found_tensor *mo__shards_find(const mo__shards *s, const char *name); /* NULL if there is none */

#endif
