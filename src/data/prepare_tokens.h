/* prepare_tokens.h -- pieces of documents become ids, go to a token file, and are counted on the way. */
#ifndef MOIRA_DATA_PREPARE_TOKENS_H
#define MOIRA_DATA_PREPARE_TOKENS_H

#include "prepare_talks.h"

/* Starts from {writer, tokenizer, stop}, all borrowed, the last may be NULL, and {talks}; free with
 * mo__prepare_tokens_free whatever the status. */
typedef struct mo__prepare_tokens {
    mo_tokenwriter *writer;
    const mo_tokenizer *tokenizer;
    const volatile sig_atomic_t *stop;
    mo__prepare_talks talks;
    bool *used;        /* by id: it is among the tokens */
    int64_t length[2]; /* tokens of each split's document so far */
    mo__length_tally *lengths[2];
    int64_t text_bytes[2];
    int64_t without; /* documents with a text but no token */
} mo__prepare_tokens;

mo_status mo__prepare_tokens_start(mo__prepare_tokens *t);
/* MO_E_INTERRUPTED soon after *stop is set, and at the end if it is set. */
mo_status mo__prepare_tokens_add(mo__prepare_tokens *t, const mo__pieces *pieces);
/* Adds what was counted: tokens, documents, their lengths, bytes of text, ids used. */
void mo__prepare_tokens_sum(const mo__prepare_tokens *t, mo_prepare_summary *summary);
void mo__prepare_tokens_free(mo__prepare_tokens *t);

#endif
