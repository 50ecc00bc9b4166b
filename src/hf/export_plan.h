/* export_plan.h -- which tensors an export has, of what they are made, and in which file each is. */
#ifndef MOIRA_HF_EXPORT_PLAN_H
#define MOIRA_HF_EXPORT_PLAN_H

#include "hf/shard_write.h"
#include "moira/hf.h"

typedef struct mo__planned {
    mo__shard_entry entry;
    const mo_param *from[2]; /* their parts in turn: of gate_up_proj w1 and w3, else one and NULL */
    int64_t first, parts;    /* of each */
    int shard;
} mo__planned;

typedef struct mo__plan {
    mo__planned *at; /* shard by shard, in the order of the model */
    int64_t n;
    int shards;
    int64_t bytes;         /* of all tensors */
    int64_t part_elements; /* of the largest part */
    mo_dtype dtype;        /* that most bytes are of */
} mo__plan;

mo_status mo__plan_make(const mo_hf_export_options *options, mo__plan *out);
void mo__plan_free(mo__plan *plan);

#endif
