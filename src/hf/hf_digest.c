/* hf_digest.c -- a model in 128 bits, without reading a large one whole. With h() XXH3-128 as 32 hex digits
 * and texts put one behind the other:
 *
 *     digest = h(h(config.json) shard...)               shards in the order of their names
 *     shard  = h(h(header) tensor... size)              tensors by their places; size in 32 decimal digits
 *     tensor = h(its bytes)                             of at most MOST bytes
 *            = h(h(piece 0) ... h(piece PIECES - 1))    of more: piece i begins at floor(i (bytes - PIECE) /
 *                                                       (PIECES - 1)), so the first and last are the ends */
#include <string.h>

#include "hf/hf_internal.h"

enum { HEX = 32, PIECE = 1 << 16, PIECES = 64, MOST = PIECE * PIECES };

static void tensor_digest(const mo__shard_tensor *t, char hex[HEX + 1])
{
    char pieces[PIECES * HEX + 1];
    int64_t bytes = t->end - t->begin;
    if (bytes <= MOST) {
        mo_hash_bytes(t->data, (size_t)bytes, hex);
        return;
    }
    /* (bytes - PIECE) i would overflow only beyond 2^57 bytes. */
    for (int64_t i = 0; i < PIECES; i++)
        mo_hash_bytes(t->data + (bytes - PIECE) * i / (PIECES - 1), PIECE, pieces + HEX * i);
    mo_hash_bytes(pieces, PIECES * HEX, hex);
}

static mo_status shard_digest(const mo__shard *s, char hex[HEX + 1])
{
    int64_t n = s->n_tensors;
    char *all = mo_malloc((size_t)(n + 2) * HEX + 1), *tensors = all ? all + HEX : NULL;
    if (!all) return MO_E_MEMORY;
    mo_hash_bytes(s->map, s->size - (size_t)(n ? s->tensors[n - 1].end : 0), all);
#pragma omp parallel for schedule(dynamic)
    for (int64_t i = 0; i < n; i++) {
        char one[HEX + 1];
        tensor_digest(&s->tensors[i], one);
        memcpy(tensors + HEX * i, one, HEX);
    }
    snprintf(tensors + HEX * n, HEX + 1, "%032zu", s->size);
    mo_hash_bytes(all, (size_t)(n + 2) * HEX, hex);
    mo_free(all);
    return MO_OK;
}

mo_status mo__hf_make_digest(mo_hf *hf)
{
    char *all = mo_malloc((size_t)(hf->shards.n + 1) * HEX + 1);
    if (!all) return MO_E_MEMORY;
    mo_hash_bytes(hf->files[0].bytes, hf->files[0].size, all); /* config.json: always there, the first */
    mo_status status = MO_OK;
    for (int i = 0; i < hf->shards.n && status == MO_OK; i++)
        status = shard_digest(&hf->shards.at[i], all + HEX * (i + 1));
    if (status == MO_OK) mo_hash_bytes(all, (size_t)(hf->shards.n + 1) * HEX, hf->digest);
    mo_free(all);
    return status;
}
