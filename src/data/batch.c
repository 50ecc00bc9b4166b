/* batch.c -- batches: their memory, and rows of tokens, targets, starts and labels. */
#include "batch.h"

#include "tokenizer/tokenizer_kind.h"

mo_status mo_batch_create(int64_t batch_size, int64_t sequence_length, mo_batch **out)
{
    *out = NULL;
    if (batch_size < 1 || sequence_length < 1)
        return mo_error(MO_E_RANGE, "batch: %lld sequences of %lld tokens, both must be positive",
                        (long long)batch_size, (long long)sequence_length);
    const size_t of_token = 4 * sizeof(int32_t) + sizeof(int64_t), of_row = sizeof(int32_t);
    size_t n, bytes;
    if (__builtin_mul_overflow((size_t)batch_size, (size_t)sequence_length, &n) ||
        __builtin_mul_overflow(n, of_token + of_row, &bytes) || bytes > PTRDIFF_MAX)
        return mo_error(MO_E_RANGE, "batch: %lld sequences of %lld tokens are more than can be addressed",
                        (long long)batch_size, (long long)sequence_length);
    mo_batch *b = mo_calloc(1, sizeof *b);
    int64_t *at = b ? mo_malloc(n * of_token + (size_t)batch_size * of_row) : NULL;
    if (!at) {
        mo_free(b);
        return MO_E_MEMORY;
    }
    *b = (mo_batch){.batch_size = batch_size, .sequence_length = sequence_length};
    b->at = at; /* all arrays are one allocation */
    b->tokens = (int32_t *)(at + n);
    b->targets = b->tokens + n;
    b->starts = b->tokens + 2 * n;
    b->domains = b->tokens + 3 * n;
    b->source = b->tokens + 4 * n;
    *out = b;
    return MO_OK;
}

void mo_batch_free(mo_batch *batch)
{
    if (!batch) return;
    mo_free(batch->at);
    mo_free(batch);
}

void mo__batch_clear(mo_batch *batch)
{
    batch->predicted = batch->predicted_step = batch->predicted_bytes = batch->valid = batch->valid_step = 0;
}

/* How many of offsets[0..D] are <= i, less one: the offsets rise strictly from 0. */
int64_t mo__document_at(const mo_tokens *tokens, int64_t i)
{
    int64_t low = 0, high = tokens->documents; /* offsets[low] <= i < offsets[high] or high == D */
    while (high - low > 1) {
        int64_t middle = low + (high - low) / 2;
        if (tokens->offsets[middle] <= (uint64_t)i)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* Of tokens [first, end). */
static int64_t count_mask(const mo_tokens *t, int64_t first, int64_t end)
{
    int64_t n = 0;
    if (!t->mask) return end - first;
    for (int64_t i = first; i < end; i++) n += t->mask[i];
    return n;
}

/* Every token behind the first is a target, less those that the mask leaves out and the starts of documents.
 */
mo__row_counts mo__count_row(const mo_tokens *t, int64_t at, int64_t T)
{
    int64_t n = count_mask(t, at + 1, at + T + 1);
    int64_t first = mo__document_at(t, at) + 1, end = mo__document_at(t, at + T) + 1;
    if (!t->mask) return (mo__row_counts){n - (end - first), T};
    for (int64_t d = first; d < end; d++) n -= t->mask[t->offsets[d]];
    return (mo__row_counts){n, T};
}

mo__row_counts mo__count_packed(const mo_tokens *t, const mo_packing *p, int64_t window)
{
    mo__row_counts c = {0, 0};
    for (int64_t k = p->first[window]; k < p->first[window + 1]; k++) {
        int64_t first = (int64_t)t->offsets[p->document[k]], end = (int64_t)t->offsets[p->document[k] + 1];
        c.valid += end - first;
        c.predicted += count_mask(t, first + 1, end);
    }
    return c;
}

/* ---- rows ---- */

/* Tokens [at, at + n) of one document from place i of the row on; the first of them that this row may attend
 * to is at place `start`. The last is given a target if `goes_on`. */
static void fill_piece(const mo_tokens *t, int64_t document, int64_t at, int64_t n, bool goes_on,
                       int64_t start, mo_batch *batch, int64_t base, int64_t i)
{
    int32_t domain = t->domains ? t->domains[document] : -1;
    for (int64_t j = 0; j < n; j++) {
        int64_t to = base + i + j;
        bool predicts = (j + 1 < n || goes_on) && (!t->mask || t->mask[at + j + 1]);
        batch->tokens[to] = mo_token_at(t, at + j);
        batch->targets[to] = predicts ? mo_token_at(t, at + j + 1) : -1;
        batch->starts[to] = (int32_t)start;
        batch->domains[to] = domain;
        batch->at[to] = at + j;
    }
}

static void pad(mo_batch *batch, int64_t row, int64_t first)
{
    int64_t T = batch->sequence_length, base = row * T;
    for (int64_t i = first; i < T; i++) {
        batch->tokens[base + i] = batch->targets[base + i] = batch->domains[base + i] = -1;
        batch->starts[base + i] = (int32_t)i;
        batch->at[base + i] = -1;
    }
}

static void add_counts(const mo_tokenizer *tokenizer, int64_t valid, mo_batch *batch, int64_t row)
{
    const int32_t *targets = batch->targets + row * batch->sequence_length;
    bool byte_ids = mo__tokenizer_byte_ids(tokenizer);
    int64_t predicted = 0, bytes = 0;
    for (int64_t i = 0; i < batch->sequence_length; i++) {
        if (targets[i] < 0) continue;
        predicted++;
        if (!byte_ids) bytes += mo_tokenizer_token_bytes(tokenizer, targets[i]);
    }
    batch->valid += valid;
    batch->predicted += predicted;
    batch->predicted_bytes += byte_ids ? predicted : bytes;
}

void mo__batch_fill_row(const mo_tokens *tokens, const mo_tokenizer *tokenizer, int64_t at, bool predict_last,
                        mo_batch *batch, int64_t row)
{
    int64_t T = batch->sequence_length, document = mo__document_at(tokens, at);
    for (int64_t i = 0; i < T; document++) {
        int64_t end = (int64_t)tokens->offsets[document + 1], left = end - (at + i);
        int64_t n = left < T - i ? left : T - i;
        bool goes_on = n < left && predict_last;
        fill_piece(tokens, document, at + i, n, goes_on, i, batch, row * T, i);
        i += n;
    }
    batch->source[row] = 0;
    add_counts(tokenizer, T, batch, row);
}

void mo__batch_fill_packed(const mo_tokens *tokens, const mo_tokenizer *tokenizer, const mo_packing *packing,
                           int64_t window, mo_batch *batch, int64_t row)
{
    int64_t T = batch->sequence_length, i = 0;
    for (int64_t k = packing->first[window]; k < packing->first[window + 1]; k++) {
        int64_t d = packing->document[k], first = (int64_t)tokens->offsets[d];
        int64_t n = (int64_t)tokens->offsets[d + 1] - first;
        fill_piece(tokens, d, first, n, false, i, batch, row * T, i);
        i += n;
    }
    pad(batch, row, i);
    batch->source[row] = 0;
    add_counts(tokenizer, i, batch, row);
}

void mo__batch_pad_row(mo_batch *batch, int64_t row)
{
    batch->source[row] = -1;
    pad(batch, row, 0);
}
