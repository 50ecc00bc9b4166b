/* golden_tokenizer.h -- the small SentencePiece models of tests/golden/tokenizer.h5 (make_tokenizer.py). */
#ifndef MOIRA_TESTS_GOLDEN_TOKENIZER_H
#define MOIRA_TESTS_GOLDEN_TOKENIZER_H

#include <moira/tokenizer.h>

/* Arrays of the file that hold many items, one after the other. */
typedef struct golden_items {
    int64_t count, *ends;
    char *bytes;  /* items of text; NULL for ids */
    int32_t *ids; /* items of ids; NULL for text */
} golden_items;
golden_items golden_items_read(const char *path);
golden_items golden_items_read_from(const char *name, const char *path); /* of tests/golden/<name>.h5 */
void golden_items_free(golden_items *items);
static inline int64_t golden_item_at(const golden_items *items, int64_t i)
{
    return i ? items->ends[i - 1] : 0;
}
static inline int64_t golden_item_size(const golden_items *items, int64_t i)
{
    return items->ends[i] - golden_item_at(items, i);
}

/* The model's file, owned (free). "mixtral", "symbols", "bare", "suffix", "trimmed", "unigram", "char",
 * "word", "rules". */
char *golden_model(const char *name, size_t *size);
mo_tokenizer *golden_tokenizer(const char *name); /* owned */
double golden_tokenizer_attribute(const char *name, const char *attribute);

#endif
