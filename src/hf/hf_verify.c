/* hf_verify.c -- what a folder is made of, and every weight looked at. */
#include <string.h>

#include "hf/hf_internal.h"
#include "hf/places.h"

mo_hf_facts mo_hf_describe(const mo_hf *hf)
{
    static const mo_dtype types[] = {MO_F32, MO_F16, MO_BF16};
    mo_hf_facts facts = {.architecture = mo__architecture_names[hf->config.architecture],
                         .fused = hf->fused,
                         .shards = hf->shards.n,
                         .tensors = hf->shards.n_tensors};
    for (int64_t i = 0; i < hf->shards.n_tensors; i++)
        facts.bytes += hf->shards.tensors[i].tensor->end - hf->shards.tensors[i].tensor->begin;
    for (int i = 0; i < hf->model->n_params; i++)
        for (int k = 0; k < 3; k++)
            facts.elements[k] += hf->stored[i].dtype == types[k] ? hf->model->params[i].count : 0;
    return facts;
}

/* Exponent all ones: an infinity or not a number, told by the bits. */
static int64_t count_nonfinite(mo_dtype dtype, const char *at, int64_t count)
{
    int64_t bad = 0;
    if (dtype == MO_F32) {
        for (int64_t i = 0; i < count; i++) {
            uint32_t bits;
            memcpy(&bits, at + 4 * i, sizeof bits);
            bad += (bits & 0x7f800000) == 0x7f800000;
        }
        return bad;
    }
    uint16_t exponent = dtype == MO_F16 ? 0x7c00 : 0x7f80;
    for (int64_t i = 0; i < count; i++) {
        uint16_t bits;
        memcpy(&bits, at + 2 * i, sizeof bits);
        bad += (bits & exponent) == exponent;
    }
    return bad;
}

typedef struct tally {
    const volatile sig_atomic_t *stop;
    mo_progress_fn progress;
    void *user;
    double done, total;
    int64_t bad, tensors; /* values; tensors that have such */
    char first[MO__PLACE_NAME];
} tally;

/* Pieces are whole numbers of elements, so that progress and stop are asked for often enough. */
static mo_status read_tensor(const mo__found_tensor *t, tally *sum)
{
    enum { PIECE = 1 << 26 };
    const mo__shard_tensor *tensor = t->tensor;
    int64_t bad = 0, bytes = tensor->end - tensor->begin;
    if (tensor->dtype->dtype < 0) return MO_OK; /* a table that is computed anew */
    mo_dtype dtype = (mo_dtype)tensor->dtype->dtype;
    for (int64_t at = 0; at < bytes; at += PIECE) {
        int64_t size = bytes - at < PIECE ? bytes - at : PIECE;
        if (sum->stop && *sum->stop) return mo_error(MO_E_INTERRUPTED, "interrupted");
        bad += count_nonfinite(dtype, tensor->data + at, size / (int64_t)mo_dtype_size(dtype));
        sum->done += (double)size;
        if (sum->progress) sum->progress(sum->done, sum->total, "B", sum->user);
    }
    if (bad > 0 && sum->tensors++ == 0) snprintf(sum->first, sizeof sum->first, "%s", t->name);
    sum->bad += bad;
    return MO_OK;
}

mo_status mo_hf_verify(const mo_hf *hf, const volatile sig_atomic_t *stop, mo_progress_fn progress,
                       void *user)
{
    tally sum = {.stop = stop, .progress = progress, .user = user, .total = (double)mo_hf_describe(hf).bytes};
    for (int64_t i = 0; i < hf->shards.n_tensors; i++) MO_TRY(read_tensor(&hf->shards.tensors[i], &sum));
    if (sum.bad == 0) return MO_OK;
    return mo_error(MO_E_NONFINITE, "%s: %lld weights in %lld tensors are no finite numbers, the first in %s",
                    hf->dir, (long long)sum.bad, (long long)sum.tensors, sum.first);
}
