/* batch.c -- batches: their memory, and rows of tokens, targets, starts and labels. */
#include "batch.h"

#include "tokenizer/tokenizer_kind.h"

mo_status mo_batch_create(int64_t batch_size, int64_t sequence_length, mo_batch **out)
{
    *out = NULL;
    if (batch_size < 1 || sequence_length < 1)
        return mo_error(MO_E_RANGE, "batch: %lld sequences of %lld tokens, both must be positive",
                        (long long)batch_size, (long long)sequence_length);
    const size_t of_token = 4 * sizeof(int32_t), of_row = sizeof(int32_t) + sizeof(int64_t);
    size_t n, bytes;
    if (__builtin_mul_overflow((size_t)batch_size, (size_t)sequence_length, &n) ||
        __builtin_mul_overflow(n, of_token + of_row, &bytes) || bytes > PTRDIFF_MAX)
        return mo_error(MO_E_RANGE, "batch: %lld sequences of %lld tokens are more than can be addressed",
                        (long long)batch_size, (long long)sequence_length);
    mo_batch *b = mo_calloc(1, sizeof *b);
    int32_t *arrays = b ? mo_malloc(n * of_token + (size_t)batch_size * of_row) : NULL;
    if (!arrays) {
        mo_free(b);
        return MO_E_MEMORY;
    }
    *b = (mo_batch){.batch_size = batch_size, .sequence_length = sequence_length};
    b->tokens = arrays; /* all arrays are one allocation */
    b->targets = arrays + n;
    b->starts = arrays + 2 * n;
    b->domains = arrays + 3 * n;
    b->at = (int64_t *)(void *)(arrays + 4 * n);
    b->source = arrays + 4 * n + 2 * batch_size;
    *out = b;
    return MO_OK;
}

void mo_batch_free(mo_batch *batch)
{
    if (!batch) return;
    mo_free(batch->tokens);
    mo_free(batch);
}

void mo__batch_clear(mo_batch *batch)
{
    batch->predicted = batch->predicted_step = batch->predicted_bytes = batch->valid = 0;
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

int64_t mo__documents_between(const mo_tokens *tokens, int64_t first, int64_t last)
{
    return mo__document_at(tokens, last) - mo__document_at(tokens, first);
}

static int64_t text_bytes(const mo_tokenizer *tokenizer, const mo_tokens *tokens, int64_t first, int64_t last,
                          const int32_t *targets)
{
    int64_t bytes = 0;
    for (int64_t i = first; i < last; i++)
        if (targets[i - first] >= 0) bytes += mo_tokenizer_token_bytes(tokenizer, mo_token_at(tokens, i + 1));
    return bytes;
}

void mo__batch_fill_row(const mo_tokens *tokens, const mo_tokenizer *tokenizer, int64_t at, bool predict_last,
                        mo_batch *batch, int64_t row)
{
    int64_t T = batch->sequence_length, base = row * T, document = mo__document_at(tokens, at);
    int32_t *targets = batch->targets + base;
    int64_t predicted = 0;
    for (int64_t i = 0; i < T; i++) {
        if ((uint64_t)(at + i) == tokens->offsets[document + 1]) document++;
        int64_t start = (int64_t)tokens->offsets[document] - at;
        bool ends = (uint64_t)(at + i + 1) == tokens->offsets[document + 1];
        bool has_target = !ends && (i + 1 < T || predict_last);
        batch->tokens[base + i] = mo_token_at(tokens, at + i);
        targets[i] = has_target ? mo_token_at(tokens, at + i + 1) : -1;
        batch->starts[base + i] = start > 0 ? (int32_t)start : 0;
        batch->domains[base + i] = tokens->domains ? tokens->domains[document] : -1;
        predicted += has_target;
    }
    batch->source[row] = 0;
    batch->at[row] = at;
    batch->valid += T;
    batch->predicted += predicted;
    batch->predicted_bytes +=
        mo__tokenizer_byte_ids(tokenizer) ? predicted : text_bytes(tokenizer, tokens, at, at + T, targets);
}

void mo__batch_pad_row(mo_batch *batch, int64_t row)
{
    int64_t T = batch->sequence_length, base = row * T;
    batch->source[row] = -1;
    batch->at[row] = -1;
    for (int64_t i = base; i < base + T; i++) {
        batch->tokens[i] = batch->targets[i] = batch->domains[i] = -1;
        batch->starts[i] = (int32_t)(i - base);
    }
}
