/* eval_batch.c -- a split in order: a stream in windows that do not overlap, whole documents packed. */
#include "batch.h"

mo_status mo_eval_order_create(const mo_tokens *tokens, int64_t sequence_length, mo_eval_order *out)
{
    *out = (mo_eval_order){.tokens = tokens, .sequence_length = sequence_length};
    if (sequence_length < 1)
        return mo_error(MO_E_RANGE, "evaluation: windows of %lld tokens", (long long)sequence_length);
    if (tokens->whole) MO_TRY(mo_packing_create(tokens, sequence_length, &out->packing));
    out->windows = tokens->whole ? out->packing.windows : tokens->count / sequence_length;
    return MO_OK;
}

void mo_eval_order_free(mo_eval_order *order)
{
    mo_packing_free(&order->packing);
    *order = (mo_eval_order){0};
}

mo_status mo_eval_batch(const mo_eval_order *o, const mo_tokenizer *tokenizer, int64_t first_window,
                        mo_batch *batch)
{
    int64_t L = o->sequence_length;
    if (batch->sequence_length != L)
        return mo_error(MO_E_SHAPE, "evaluation: the batch has sequences of %lld tokens, windows have %lld",
                        (long long)batch->sequence_length, (long long)L);
    if (first_window < 0 || first_window >= o->windows)
        return mo_error(MO_E_RANGE, "evaluation: window %lld is none, %lld tokens make %lld windows of %lld",
                        (long long)first_window, (long long)o->tokens->count, (long long)o->windows,
                        (long long)L);
    mo__batch_clear(batch);
    for (int64_t row = 0; row < batch->batch_size; row++) {
        int64_t window = first_window + row;
        if (window >= o->windows)
            mo__batch_pad_row(batch, row);
        else if (o->tokens->whole)
            mo__batch_fill_packed(o->tokens, tokenizer, &o->packing, window, batch, row);
        else
            mo__batch_fill_row(o->tokens, tokenizer, window * L, false, batch, row);
    }
    batch->predicted_step = batch->predicted;
    batch->valid_step = batch->valid;
    return MO_OK;
}
