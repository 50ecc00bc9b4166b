/* decoder.h -- sequences that go on side by side, each with keys and values of its own.
 *
 * Rows are independent in every op of a decoding graph, so the logits of a sequence are the same bits
 * whatever stands beside it. */
#ifndef MOIRA_TRAIN_DECODER_H
#define MOIRA_TRAIN_DECODER_H

#include "moira/model.h"

typedef struct mo__decoder mo__decoder;

/* slots: sequences at once, at most MO_GENERATE_MOST; capacity: tokens of each one's context. */
mo_status mo__decoder_create(const mo_model *model, int64_t slots, int64_t capacity, mo__decoder **out);
void mo__decoder_free(mo__decoder *d);
int64_t mo__decoder_capacity(const mo__decoder *d);
int64_t mo__decoder_length(const mo__decoder *d, int64_t slot); /* tokens read */
void mo__decoder_clear(mo__decoder *d, int64_t slot);
/* Reads tokens after those of the slot, for which it has room. *logits [vocab_size]: after the last one,
 * until the next read or step. */
mo_status mo__decoder_read(mo__decoder *d, int64_t slot, const int32_t *ids, int64_t count,
                           const mo_real **logits);
/* Reads a token of each of `count` slots, all different; logits[count]: as above, of each. A full context
 * keeps its newer half. */
mo_status mo__decoder_step(mo__decoder *d, int64_t count, const int64_t *slots, const int32_t *ids,
                           const mo_real **logits);

#endif
