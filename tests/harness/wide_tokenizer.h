/* wide_tokenizer.h -- a tokenizer with any vocabulary, for token files with ids of more than a byte: its blob
 * is the vocabulary's size in decimal, and byte b of a text has the id (b * 397) mod that size. */
#ifndef MOIRA_TESTS_WIDE_TOKENIZER_H
#define MOIRA_TESTS_WIDE_TOKENIZER_H

#include <moira/tokenizer.h>

/* Owned. The kind is known to mo_tokenizer_restore from then on. */
mo_tokenizer *wide_tokenizer(int vocab_size);

#endif
