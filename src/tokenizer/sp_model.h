/* sp_model.h -- what a SentencePiece model says: pieces and settings, read from the file's bytes.
 *
 * The file is one Protocol Buffers message, ModelProto of sentencepiece_model.proto:
 *     1 pieces {1 piece, 2 score, 3 type}, again and again
 *     2 trainer_spec {3 model_type, 24 treat_whitespace_as_suffix, 35 byte_fallback, 44 unk_surface, ...}
 *     3 normalizer_spec {2 precompiled_charsmap, 3 add_dummy_prefix, 4 remove_extra_whitespaces, ...}
 *     4 self_test_data
 *     5 denormalizer_spec {2 precompiled_charsmap, ...}
 *
 * Reading it here serves two ends: the library's interface gives no settings, and it trusts a model's insides
 * where a damaged file would make it read out of bounds or end the process. */
#ifndef MOIRA_SP_MODEL_H
#define MOIRA_SP_MODEL_H

#include <moira/base.h>

typedef enum mo__sp_type {
    MO__SP_NORMAL = 1,
    MO__SP_UNKNOWN,
    MO__SP_CONTROL,
    MO__SP_USER_DEFINED,
    MO__SP_UNUSED,
    MO__SP_BYTE
} mo__sp_type;

enum { MO__SP_UNIGRAM = 1, MO__SP_BPE, MO__SP_WORD, MO__SP_CHAR };

typedef struct mo__sp_text { /* borrowed from the file's bytes */
    const char *at;
    size_t size;
} mo__sp_text;

typedef struct mo__sp_piece {
    mo__sp_text text;
    float score;
    mo__sp_type type;
} mo__sp_piece;

typedef struct mo__sp_model {
    mo__sp_piece *pieces; /* owned; id = index */
    int64_t count;
    int model_type;
    bool suffix, byte_fallback;       /* trainer_spec */
    bool dummy_prefix, remove_spaces; /* normalizer_spec */
    mo__sp_text charsmap, denormalizer, unk_surface;
} mo__sp_model;

/* Reads blob[size], which the model borrows. MO_E_CORRUPT, MO_E_UNSUPPORTED. */
mo_status mo__sp_model_read(const void *blob, size_t size, mo__sp_model *out);
void mo__sp_model_free(mo__sp_model *m);
/* Everything that the library takes for granted. MO_E_CORRUPT, MO_E_UNSUPPORTED. */
mo_status mo__sp_model_check(const mo__sp_model *m);

/* The same model for text that goes on: no word mark in front, no self-test. Owned. */
mo_status mo__sp_model_continuing(const void *blob, size_t size, char **out, size_t *out_size);

#endif
