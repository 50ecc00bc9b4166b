/* tokenizer_kind.h -- what a kind of tokenizer provides; tokenizer.c does the rest. */
#ifndef MOIRA_TOKENIZER_KIND_H
#define MOIRA_TOKENIZER_KIND_H

#include <moira/tokenizer.h>

typedef struct mo__tokenizer_kind {
    const char *name;
    bool byte_ids; /* the ids of a text are its bytes: writers may then skip encode */
    /* Sets vocab_size (and state) from the blob. MO_E_CORRUPT for a bad blob. */
    mo_status (*start)(mo_tokenizer *t);
    void (*stop)(mo_tokenizer *t);
    mo_status (*encode)(const mo_tokenizer *t, const char *text, size_t size, int32_t **ids, int64_t *count);
    /* Every id is within the vocabulary. */
    mo_status (*decode)(const mo_tokenizer *t, const int32_t *ids, int64_t count, char **text, size_t *size);
    int64_t (*token_bytes)(const mo_tokenizer *t, int32_t id);
} mo__tokenizer_kind;

struct mo_tokenizer {
    const mo__tokenizer_kind *kind;
    char *image; /* kind, NUL, blob: what the hash is of */
    size_t blob_size;
    int64_t vocab_size;
    void *state; /* the kind's own */
};

extern const mo__tokenizer_kind mo__tokenizer_bytes_kind;
/* Tests put a kind here, so that token files with wider ids can be tested; NULL otherwise. */
extern const mo__tokenizer_kind *mo__tokenizer_test_kind;

/* blob[size] is copied. */
mo_status mo__tokenizer_create(const mo__tokenizer_kind *kind, const void *blob, size_t size,
                               mo_tokenizer **out);
static inline bool mo__tokenizer_byte_ids(const mo_tokenizer *t)
{
    return t->kind->byte_ids;
}

#endif
