/* tokenizer.h -- text to token ids and back.
 *
 * Two kinds. "bytes" has exactly 256 ids, id = byte. "sentencepiece" reads a SentencePiece model (Mixtral's
 * tokenizer.model, or one trained here). Document ends are offsets in a token file, not tokens; a tokenizer
 * that has <s> and </s> may put them there (mo_tokenizer_bos, mo_tokenizer_eos), encoding never does.
 * A tokenizer serialises to its kind and a blob of bytes (empty for "bytes", the .model file's bytes for
 * "sentencepiece"), which token files and checkpoints embed; two tokenizers are the same if kind and blob
 * are.
 *
 *     mo_tokenizer *t;
 *     MO_TRY(mo_tokenizer_open("tokenizer.model", &t));
 *     int32_t *ids; int64_t count;
 *     mo_status status = mo_tokenizer_encode(t, text, size, &ids, &count); ... mo_free(ids);
 *     mo_tokenizer_free(t);
 *
 * A tokenizer is immutable after creation: any number of threads may use it at once.
 *
 * What comes back from ids is the text that went in, byte for byte, for "bytes" always. For "sentencepiece"
 * it is so for valid UTF-8 where the model has byte pieces and normalizes nothing (Mixtral and its kin; NUL
 * included), but for U+2581, the word mark itself, which comes back as a space. Each byte that is no part of
 * valid UTF-8 becomes U+FFFD (mo_utf8_invalid counts them). */
#ifndef MOIRA_TOKENIZER_H
#define MOIRA_TOKENIZER_H

#include "moira/base.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mo_tokenizer mo_tokenizer;

mo_status mo_tokenizer_bytes(mo_tokenizer **out);
/* A SentencePiece .model file. MO_E_NOT_FOUND, MO_E_FORMAT (not such a file, or a damaged one),
 * MO_E_UNSUPPORTED (a model that this program would not encode or decode rightly). */
mo_status mo_tokenizer_open(const char *path, mo_tokenizer **out);
/* From what a file embeds. MO_E_UNSUPPORTED for an unknown kind, MO_E_CORRUPT for a bad blob. */
mo_status mo_tokenizer_restore(const char *kind, const void *blob, size_t size, mo_tokenizer **out);
void mo_tokenizer_free(mo_tokenizer *t);

const char *mo_tokenizer_kind(const mo_tokenizer *t);               /* borrowed */
const void *mo_tokenizer_blob(const mo_tokenizer *t, size_t *size); /* borrowed */
int64_t mo_tokenizer_vocab_size(const mo_tokenizer *t);             /* ids are 0 .. vocab_size-1 */
int32_t mo_tokenizer_bos(const mo_tokenizer *t);             /* begin of a document; -1 if it has none */
int32_t mo_tokenizer_eos(const mo_tokenizer *t);             /* end of a document; -1 if it has none */
void mo_tokenizer_hash(const mo_tokenizer *t, char hex[33]); /* XXH3-128 of kind and blob */
bool mo_tokenizer_equal(const mo_tokenizer *a, const mo_tokenizer *b);
/* Bytes of text that a valid id stands for: 1 for a byte piece, the word mark and the unknown token, 0 for
 * control tokens such as <s>. */
int64_t mo_tokenizer_token_bytes(const mo_tokenizer *t, int32_t id);
/* A valid id as the vocabulary writes it, for display: "▁the", "<s>", "<0x0A>". Borrowed UTF-8. */
const char *mo_tokenizer_piece(const mo_tokenizer *t, int32_t id);
/* The text of a valid id for people to read, as it would stand between the quotes of a C string: a word with
 * its space, "\n", "\xC3" for a byte that is no character by itself, "\u200B" for what cannot be seen, "<s>".
 * One line of UTF-8, safe on a terminal. Owned; NULL when out of memory. */
char *mo_tokenizer_show(const mo_tokenizer *t, int32_t id);

/* ---- text to ids ---- */

/* text[size] -> owned array *ids of *count ids, without begin and end tokens: what SentencePiece's own Encode
 * gives for the whole text. Long texts are cut where that changes nothing (mo_tokenizer_cut), and the parts
 * encoded on all cores. MO_E_RANGE: more than 16 MiB on end that cannot be cut. */
mo_status mo_tokenizer_encode(const mo_tokenizer *t, const char *text, size_t size, int32_t **ids,
                              int64_t *count);

typedef struct mo_text_piece {
    const char *text; /* borrowed */
    size_t size;
    bool continues; /* goes on from an earlier piece of its document: no word mark is put in front */
} mo_text_piece;
/* Encodes n pieces on all cores (on one inside a parallel region): *ids is owned, the pieces' ids one after
 * the other; counts[n] says how many each has. The same for any number of threads. */
mo_status mo_tokenizer_encode_batch(const mo_tokenizer *t, const mo_text_piece *pieces, int64_t n,
                                    int32_t **ids, int64_t *counts);

/* The largest position up to `size` at which a document that has text[size], with whatever follows it, may be
 * cut: encode(before, after) = encode(before), encode(after; continues) exactly. 0 if there is none: then it
 * must be read on, or encoded whole. Every position will do for "bytes"; for "sentencepiece" it depends on
 * the model, and models of kind unigram, or that normalize, cannot be cut. */
size_t mo_tokenizer_cut(const mo_tokenizer *t, const char *text, size_t size);

/* ---- ids to text ---- */

/* ids -> owned, NUL-terminated *text of *size bytes. MO_E_RANGE names an id that is none. */
mo_status mo_tokenizer_decode(const mo_tokenizer *t, const int32_t *ids, int64_t count, char **text,
                              size_t *size);

/* Decoding id by id: a token's text depends on those before it (a word mark in front of everything is no
 * space; byte pieces make up characters). What the calls give, one after the other, is what
 * mo_tokenizer_decode gives for all ids, never ending in a part of a character. */
typedef struct mo_tokenizer_stream mo_tokenizer_stream;
mo_status mo_tokenizer_stream_open(const mo_tokenizer *t, mo_tokenizer_stream **out); /* borrows t */
void mo_tokenizer_stream_close(mo_tokenizer_stream *s);
/* The text that a valid id adds: *size bytes (perhaps none), borrowed until the next call. */
const char *mo_tokenizer_stream_next(mo_tokenizer_stream *s, int32_t id, size_t *size);
/* What is left of a character that never became whole; the stream starts anew. */
const char *mo_tokenizer_stream_end(mo_tokenizer_stream *s, size_t *size);

/* ---- a new tokenizer ---- */

/* Gives the next text to learn from, a document or a part of one: *text[*size], borrowed until the next call;
 * *size 0 at the end. */
typedef mo_status (*mo_text_source)(void *user, const char **text, size_t *size);
typedef struct mo_tokenizer_train_options {
    int64_t vocab_size; /* 260 .. 1,000,000, and no more than the text gives */
    mo_text_source next;
    void *user;
    size_t sample_bytes; /* learns from at most so much text; 0 = 32 MB */
} mo_tokenizer_train_options;
/* A SentencePiece model with the settings of Mixtral's: byte-pair encoding, byte pieces for rare characters,
 * nothing normalized, digits apart, <unk> 0, <s> 1, </s> 2. A longer text is sampled evenly: of its chunks of
 * 4000 bytes every 2nd (4th, 8th, ...) is taken. The same text gives the same tokenizer, whatever the
 * threads. It takes about 15 times the sample's memory and, past reading the text, a minute on one thread at
 * most, uninterrupted. MO_E_RANGE: a vocabulary that is too small, or larger than the text gives (the message
 * has the limit), or no text. */
mo_status mo_tokenizer_train(const mo_tokenizer_train_options *options, mo_tokenizer **out);

#ifdef __cplusplus
}
#endif
#endif
