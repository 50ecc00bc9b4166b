/* batch.h -- one row of a batch out of a split. */
#ifndef MOIRA_DATA_BATCH_H
#define MOIRA_DATA_BATCH_H

#include <moira/data.h>

/* The document that holds token i. */
int64_t mo__document_at(const mo_tokens *tokens, int64_t i);
/* Documents that begin in (first, last]: the tokens there that are not predicted. */
int64_t mo__documents_between(const mo_tokens *tokens, int64_t first, int64_t last);

/* Row `row` of the batch = tokens [at, at + T); adds to the batch's predicted, predicted_bytes and valid.
 * predict_last: the last token's target is token at + T; otherwise it has none. */
void mo__batch_fill_row(const mo_tokens *tokens, const mo_tokenizer *tokenizer, int64_t at, bool predict_last,
                        mo_batch *batch, int64_t row);
/* A row of padding: nothing is read, nothing predicted, each position sees only itself. */
void mo__batch_pad_row(mo_batch *batch, int64_t row);
/* Sets the counts that rows add to to 0. */
void mo__batch_clear(mo_batch *batch);

#endif
