/* batch.h -- one row of a batch out of a split. */
#ifndef MOIRA_DATA_BATCH_H
#define MOIRA_DATA_BATCH_H

#include <moira/data.h>

/* The document that holds token i. */
int64_t mo__document_at(const mo_tokens *tokens, int64_t i);

typedef struct mo__row_counts {
    int64_t predicted, valid; /* as of a batch */
} mo__row_counts;
/* Of the row that mo__batch_fill_row makes with predict_last. */
mo__row_counts mo__count_row(const mo_tokens *tokens, int64_t at, int64_t T);
/* Of the row that mo__batch_fill_packed makes. */
mo__row_counts mo__count_packed(const mo_tokens *tokens, const mo_packing *packing, int64_t window);

/* Row `row` of the batch = tokens [at, at + T); adds to the batch's predicted, predicted_bytes and valid.
 * predict_last: the last token's target is token at + T; otherwise it has none. */
void mo__batch_fill_row(const mo_tokens *tokens, const mo_tokenizer *tokenizer, int64_t at, bool predict_last,
                        mo_batch *batch, int64_t row);
/* Row `row` = the documents of a window, one behind the other, and padding. */
void mo__batch_fill_packed(const mo_tokens *tokens, const mo_tokenizer *tokenizer, const mo_packing *packing,
                           int64_t window, mo_batch *batch, int64_t row);
/* A row of padding: nothing is read, nothing predicted, each position sees only itself. */
void mo__batch_pad_row(mo_batch *batch, int64_t row);
/* Sets the counts that rows add to to 0. */
void mo__batch_clear(mo_batch *batch);

#endif
