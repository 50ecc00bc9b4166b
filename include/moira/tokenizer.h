/* tokenizer.h -- text to token ids and back.
 *
 * The byte tokenizer has exactly 256 ids, id = byte; document ends are offsets in a token file, not tokens.
 * A tokenizer serialises to a kind ("bytes", "sentencepiece") and a blob of bytes (empty for "bytes"), which
 * token files and checkpoints embed; two tokenizers are the same if kind and blob are.
 *
 *     mo_tokenizer *t; MO_TRY(mo_tokenizer_bytes(&t)); ... mo_tokenizer_free(t);
 *
 * A tokenizer is immutable after creation: any number of threads may use it at once. */
#ifndef MOIRA_TOKENIZER_H
#define MOIRA_TOKENIZER_H

#include "moira/base.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mo_tokenizer mo_tokenizer;

mo_status mo_tokenizer_bytes(mo_tokenizer **out);
/* From what a file embeds. MO_E_UNSUPPORTED for an unknown kind, MO_E_CORRUPT for a bad blob. */
mo_status mo_tokenizer_restore(const char *kind, const void *blob, size_t size, mo_tokenizer **out);
void mo_tokenizer_free(mo_tokenizer *t);

const char *mo_tokenizer_kind(const mo_tokenizer *t);               /* borrowed */
const void *mo_tokenizer_blob(const mo_tokenizer *t, size_t *size); /* borrowed */
int64_t mo_tokenizer_vocab_size(const mo_tokenizer *t);             /* ids are 0 .. vocab_size-1 */
void mo_tokenizer_hash(const mo_tokenizer *t, char hex[33]);        /* XXH3-128 of kind and blob */
bool mo_tokenizer_equal(const mo_tokenizer *a, const mo_tokenizer *b);
int64_t mo_tokenizer_token_bytes(const mo_tokenizer *t, int32_t id); /* bytes of text a valid id stands for */

/* text[size] -> owned array *ids of *count ids. */
mo_status mo_tokenizer_encode(const mo_tokenizer *t, const char *text, size_t size, int32_t **ids,
                              int64_t *count);
/* ids -> owned, NUL-terminated *text of *size bytes. MO_E_RANGE names an id that is none. */
mo_status mo_tokenizer_decode(const mo_tokenizer *t, const int32_t *ids, int64_t count, char **text,
                              size_t *size);

#ifdef __cplusplus
}
#endif
#endif
