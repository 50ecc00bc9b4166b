/* corpus_cut.c -- between characters; between words where ids depend on what stands beside them. */
#include "corpus_cut.h"

#include "tokenizer/tokenizer_kind.h"

size_t mo__corpus_character(const char *text, size_t size)
{
    for (size_t back = 0; back <= 3 && back < size; back++)
        if (((unsigned char)text[size - back] & 0xC0) != 0x80) return size - back;
    return size;
}

size_t mo__corpus_cut(const mo_tokenizer *tokenizer, const char *text, size_t size)
{
    (void)tokenizer;
    return mo__corpus_character(text, size);
}
