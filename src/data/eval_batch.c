/* eval_batch.c -- a split in order, in windows that do not overlap. */
#include "batch.h"

int64_t mo_eval_windows(const mo_tokens *tokens, int64_t sequence_length)
{
    return sequence_length > 0 ? tokens->count / sequence_length : 0;
}

mo_status mo_eval_batch(const mo_tokens *tokens, const mo_tokenizer *tokenizer, int64_t sequence_length,
                        int64_t first_window, mo_batch *batch)
{
    int64_t windows = mo_eval_windows(tokens, sequence_length);
    if (batch->sequence_length != sequence_length)
        return mo_error(MO_E_SHAPE, "evaluation: the batch has sequences of %lld tokens, windows have %lld",
                        (long long)batch->sequence_length, (long long)sequence_length);
    if (first_window < 0 || first_window >= windows)
        return mo_error(MO_E_RANGE, "evaluation: window %lld is none, %lld tokens make %lld windows of %lld",
                        (long long)first_window, (long long)tokens->count, (long long)windows,
                        (long long)sequence_length);
    mo__batch_clear(batch);
    for (int64_t row = 0; row < batch->batch_size; row++) {
        if (row < windows - first_window)
            mo__batch_fill_row(tokens, tokenizer, (first_window + row) * sequence_length, false, batch, row);
        else
            mo__batch_pad_row(batch, row);
    }
    batch->predicted_step = batch->predicted;
    return MO_OK;
}
