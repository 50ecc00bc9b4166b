/* hf_digest.c -- a model in 128 bits, without reading it whole: config.json, and of every shard its size, its
 * header and three samples of each tensor, at its begin, middle and end. */
#include <string.h>

#include "hf/hf_internal.h"

enum { SAMPLE = 256, HEX = 32 };

static size_t sample(const mo__shard_tensor *t, char *out)
{
    size_t size = (size_t)(t->end - t->begin);
    if (size <= 3 * SAMPLE) {
        memcpy(out, t->data, size);
        return size;
    }
    memcpy(out, t->data, SAMPLE);
    memcpy(out + SAMPLE, t->data + size / 2, SAMPLE);
    memcpy(out + 2 * SAMPLE, t->data + size - SAMPLE, SAMPLE);
    return 3 * SAMPLE;
}

/* The hash of all samples' hashes, in the order of the file. */
static mo_status shard_digest(const mo__shard *s, char hex[33])
{
    char bytes[3 * SAMPLE], one[33];
    char *all = mo_malloc((size_t)(s->n_tensors + 2) * HEX);
    if (!all) return MO_E_MEMORY;
    size_t n = 0;
    mo_hash_bytes(s->map, s->size - (size_t)(s->n_tensors ? s->tensors[s->n_tensors - 1].end : 0), one);
    memcpy(all + HEX * n++, one, HEX);
    for (int64_t i = 0; i < s->n_tensors; i++) {
        mo_hash_bytes(bytes, sample(&s->tensors[i], bytes), one);
        memcpy(all + HEX * n++, one, HEX);
    }
    char size[HEX + 1];
    snprintf(size, sizeof size, "%032zu", s->size);
    memcpy(all + HEX * n++, size, HEX);
    mo_hash_bytes(all, n * HEX, hex);
    mo_free(all);
    return MO_OK;
}

mo_status mo__hf_make_digest(mo_hf *hf)
{
    char one[33];
    char *all = mo_malloc((size_t)(hf->shards.n + 1) * HEX);
    if (!all) return MO_E_MEMORY;
    mo_hash_bytes(hf->files[0].bytes, hf->files[0].size,
                  one); /* config.json: without it there is no folder */
    memcpy(all, one, HEX);
    mo_status status = MO_OK;
    for (int i = 0; i < hf->shards.n && status == MO_OK; i++) {
        status = shard_digest(&hf->shards.at[i], one);
        memcpy(all + HEX * (i + 1), one, HEX);
    }
    mo_hash_bytes(all, (size_t)(hf->shards.n + 1) * HEX, hf->digest);
    mo_free(all);
    return status;
}
