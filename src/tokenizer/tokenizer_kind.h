/* tokenizer_kind.h -- what a kind of tokenizer provides; tokenizer.c, encode.c and decode.c do the rest. */
#ifndef MOIRA_TOKENIZER_KIND_H
#define MOIRA_TOKENIZER_KIND_H

#include <moira/tokenizer.h>

/* Where decoding stands between two ids. Starts as {0}. */
typedef struct mo__decoding {
    bool started;      /* text has come, or the word mark that stands for none */
    int held;          /* bytes of a character that is not whole yet */
    char character[4]; /* they */
} mo__decoding;

typedef struct mo__tokenizer_kind {
    const char *name;
    bool byte_ids; /* the ids of a text are its bytes: writers may then skip encode */
    size_t grain;  /* bytes of text that are worth a task of their own */
    /* Sets vocab_size, bos, eos, most_text (and state) from the blob; frees what it made if it fails.
     * MO_E_CORRUPT for a bad blob. */
    mo_status (*start)(mo_tokenizer *t);
    void (*stop)(mo_tokenizer *t);
    /* On the calling thread, whole. */
    mo_status (*encode)(const mo_tokenizer *t, const mo_text_piece *piece, int32_t **ids, int64_t *count);
    size_t (*cut)(const mo_tokenizer *t, const char *text, size_t size);
    /* Writes what a valid id adds, or for -1 what is left at the end, to out; returns its size, at most
     * most_text. */
    size_t (*decode)(const mo_tokenizer *t, mo__decoding *state, int32_t id, char *out);
    int64_t (*token_bytes)(const mo_tokenizer *t, int32_t id);
    const char *(*piece)(const mo_tokenizer *t, int32_t id);
} mo__tokenizer_kind;

struct mo_tokenizer {
    const mo__tokenizer_kind *kind;
    char *image; /* kind, NUL, blob: what the hash is of */
    size_t blob_size;
    int64_t vocab_size;
    int32_t bos, eos; /* -1: none */
    size_t most_text; /* bytes that one step of decoding may give */
    void *state;      /* the kind's own */
};

extern const mo__tokenizer_kind mo__tokenizer_bytes_kind, mo__tokenizer_sentencepiece_kind;
/* Tests put a kind here, so that token files with wider ids can be tested; NULL otherwise. */
extern const mo__tokenizer_kind *mo__tokenizer_test_kind;

/* blob[size] is copied. */
mo_status mo__tokenizer_create(const mo__tokenizer_kind *kind, const void *blob, size_t size,
                               mo_tokenizer **out);
static inline bool mo__tokenizer_byte_ids(const mo_tokenizer *t)
{
    return t->kind->byte_ids;
}

/* The UTF-8 at the end of a stream of bytes: adds one byte, moves characters that are whole to out (at most
 * 12 bytes) and returns how many bytes. A byte that is no part of valid UTF-8 goes out as it is, or as
 * U+FFFD if `replace`. */
size_t mo__decoding_byte(mo__decoding *state, char byte, bool replace, char *out);
/* Moves what is held to out (at most 9 bytes) in the same way: no byte follows. */
size_t mo__decoding_flush(mo__decoding *state, bool replace, char *out);

#endif
