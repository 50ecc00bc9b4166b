/* corpus.h -- splits of tokens in memory, in documents of 1 to 60 tokens. */
#ifndef MOIRA_HARNESS_CORPUS_H
#define MOIRA_HARNESS_CORPUS_H

#include <moira/data.h>

typedef struct corpus {
    mo_tokens tokens;
    mo_tokenizer *tokenizer; /* with ids below 2^20 */
} corpus;

/* A split whose token i is `first` + i; labels: document d has the domain 7 d mod 5. */
corpus corpus_make(int64_t count, int64_t first, bool labels);
void corpus_free(corpus *c);

#endif
