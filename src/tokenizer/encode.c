/* encode.c -- many pieces of text to ids: each is cut into parts that encode alone, the parts are encoded by
 * all threads, and their ids put together in order. What a part is depends on the text alone. */
#include <omp.h>
#include <string.h>

#include "base/text.h"
#include "tokenizer_kind.h"

static const size_t MOST_UNCUT = (size_t)16 << 20;

typedef struct part {
    mo_text_piece text;
    int32_t *ids; /* owned */
    int64_t count;
    mo_status status;
} part;

typedef struct parts {
    part *at;
    int64_t count, capacity;
} parts;

static mo_status add_part(parts *p, mo_text_piece text)
{
    if (p->count == p->capacity) {
        int64_t capacity = p->capacity ? 2 * p->capacity : 16;
        part *larger = mo_realloc(p->at, (size_t)capacity * sizeof *larger);
        if (!larger) return MO_E_MEMORY;
        p->at = larger;
        p->capacity = capacity;
    }
    p->at[p->count++] = (part){.text = text};
    return MO_OK;
}

/* Where the first part of text[size] ends: at the last good place within a grain, else within twice that, ...
 */
static size_t part_end(const mo_tokenizer *t, const char *text, size_t size)
{
    for (size_t window = t->kind->grain; window < size; window *= 2) {
        size_t end = t->kind->cut(t, text, window);
        if (end > 0) return end;
    }
    return size;
}

static mo_status add_parts(const mo_tokenizer *t, const mo_text_piece *piece, parts *out)
{
    mo_text_piece rest = *piece;
    while (rest.size > 0) {
        size_t end = part_end(t, rest.text, rest.size);
        if (end > MOST_UNCUT && !t->kind->byte_ids)
            return mo_error(
                MO_E_RANGE,
                "tokenizer: %zu bytes of text that cannot be cut without changing its tokens, at most %zu "
                "are taken; cut the text into documents",
                end, MOST_UNCUT);
        MO_TRY(add_part(out, (mo_text_piece){rest.text, end, rest.continues}));
        rest = (mo_text_piece){rest.text + end, rest.size - end, true};
    }
    return MO_OK;
}

/* The message of a part that failed is its thread's; the first one's is kept for the caller. */
static mo_status encode_parts(const mo_tokenizer *t, parts *p)
{
    char message[MO__MESSAGE_SIZE] = "";
    int64_t failed = p->count;
#pragma omp parallel for schedule(dynamic) if (p->count > 1 && !omp_in_parallel())
    for (int64_t i = 0; i < p->count; i++) {
        part *one = &p->at[i];
        one->status = t->kind->encode(t, &one->text, &one->ids, &one->count);
        if (one->status != MO_OK) {
#pragma omp critical(mo_tokenizer_encode)
            if (i < failed) {
                failed = i;
                snprintf(message, sizeof message, "%s", mo_last_error());
            }
        }
    }
    return failed == p->count ? MO_OK : mo_error(p->at[failed].status, "%s", message);
}

static mo_status join(parts *p, int32_t **ids)
{
    int64_t total = 0;
    for (int64_t i = 0; i < p->count; i++) total += p->at[i].count;
    if (p->count == 1) {
        *ids = p->at[0].ids;
        p->at[0].ids = NULL;
        return MO_OK;
    }
    int32_t *to = *ids = mo_malloc((size_t)total * sizeof *to);
    if (!to) return MO_E_MEMORY;
    for (int64_t i = 0; i < p->count; i++) {
        if (p->at[i].count) memcpy(to, p->at[i].ids, (size_t)p->at[i].count * sizeof *to);
        to += p->at[i].count;
    }
    return MO_OK;
}

mo_status mo_tokenizer_encode_batch(const mo_tokenizer *t, const mo_text_piece *pieces, int64_t n,
                                    int32_t **ids, int64_t *counts)
{
    *ids = NULL;
    parts p = {0};
    mo_status status = MO_OK;
    for (int64_t i = 0; status == MO_OK && i < n; i++) {
        status = add_parts(t, &pieces[i], &p);
        counts[i] = p.count; /* where its parts end, for now */
    }
    if (status == MO_OK) status = encode_parts(t, &p);
    if (status == MO_OK) status = join(&p, ids);
    for (int64_t i = 0, at = 0; status == MO_OK && i < n; i++) {
        int64_t end = counts[i];
        for (counts[i] = 0; at < end; at++) counts[i] += p.at[at].count;
    }
    for (int64_t i = 0; i < p.count; i++) mo_free(p.at[i].ids);
    mo_free(p.at);
    return status;
}

mo_status mo_tokenizer_encode(const mo_tokenizer *t, const char *text, size_t size, int32_t **ids,
                              int64_t *count)
{
    mo_text_piece whole = {text, size, false};
    *count = 0;
    return mo_tokenizer_encode_batch(t, &whole, 1, ids, count);
}

size_t mo_tokenizer_cut(const mo_tokenizer *t, const char *text, size_t size)
{
    return t->kind->cut(t, text, size);
}
