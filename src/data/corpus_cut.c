/* corpus_cut.c -- between characters; where the tokenizer asks for more, at its places. */
#include "corpus_cut.h"

#include "tokenizer/tokenizer_kind.h"

size_t mo__corpus_character(const char *text, size_t size)
{
    for (size_t back = 0; back <= 3 && back <= size; back++)
        if (((unsigned char)text[size - back] & 0xC0) != 0x80) return size - back;
    return size;
}

size_t mo__corpus_cut(const mo_tokenizer *tokenizer, const char *text, size_t size)
{
    size_t character = mo__corpus_character(text, size);
    if (!tokenizer || mo__tokenizer_byte_ids(tokenizer)) return character;
    return mo_tokenizer_cut(tokenizer, text, character);
}
