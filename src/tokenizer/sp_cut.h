/* sp_cut.h -- where a text may be cut for a SentencePiece model.
 *
 * Byte-pair encoding merges neighbours only into pieces of the vocabulary. If no piece has the characters a,
 * b next to each other, no merge ever crosses the place between an a and a b: both sides are encoded as if
 * the other were not there. Merges of the two sides do not depend on each other's order either, since the
 * order is that of (score, place). The same holds for user-defined symbols, which are found from the left,
 * greedily. Conditions on the model:
 *   - BPE. A unigram model's best path hangs on sums of floats that begin at the start of the text.
 *   - No unused pieces: what these are split into is remembered over the whole text.
 *   - Nothing is normalized, no spaces are removed, and no word mark is put behind the text.
 *   - Without byte pieces, unknown neighbours become one token: a cut needs a known character on one side. */
#ifndef MOIRA_SP_CUT_H
#define MOIRA_SP_CUT_H

#include "sp_model.h"

typedef struct mo__sp_cuts mo__sp_cuts;
/* *out is NULL for a model whose texts cannot be cut. */
mo_status mo__sp_cuts_make(const mo__sp_model *m, mo__sp_cuts **out);
void mo__sp_cuts_free(mo__sp_cuts *c);
/* mo_tokenizer_cut. */
size_t mo__sp_cut(const mo__sp_cuts *c, const char *text, size_t size);

#endif
