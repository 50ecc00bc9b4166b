/* corpus_cut.h -- where a text may be cut. */
#ifndef MOIRA_DATA_CORPUS_CUT_H
#define MOIRA_DATA_CORPUS_CUT_H

#include <moira/tokenizer.h>

/* The last place in text[0 .. size] where a UTF-8 character begins; text[size] is there. Where no character
 * has begun for 3 bytes it is `size`: those bytes are not UTF-8, and nothing is torn apart. */
size_t mo__corpus_character(const char *text, size_t size);
/* Where a text that goes on behind text[size] may be cut, between characters, so that the ids of its parts
 * are those of the whole and its bytes that are not UTF-8 are as many: at most size, as near as can be. 0:
 * more of it must be there first. tokenizer may be NULL: ids do not matter. */
size_t mo__corpus_cut(const mo_tokenizer *tokenizer, const char *text, size_t size);

#endif
