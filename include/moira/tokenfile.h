/* tokenfile.h -- token files: a corpus, tokenized once, read many times.
 *
 * On disk, format versions 1 and 2. An HDF5 file (libver bounds V110) with a 512-byte user block that holds
 * text:
 *     "MOIRA TOKENS <version>\n" "xxh3_128=<32 hex digits>\n" "bytes=<decimal>\n", zero-padded,
 * the hash being over every byte after the user block and `bytes` the size of the whole file. It is checked
 * before the HDF5 library is let near the file.
 *     /train, /validation   groups, each with
 *         tokens       uint8 | uint16 | uint32 by vocabulary; chunked, shuffle + deflate + fletcher32
 *         documents    uint64[D+1]: document d is tokens[documents[d] .. documents[d+1])
 *         domains      uint16[D]: label of each document (only where the corpus has labels)
 *         mask         uint8[tokens]: 1 = a token that a model is to predict, 0 = one that it only reads
 *                      (only in version 2; absent: all are 1)
 *       attributes: entropy_nats float64[#domains] (only synthetic corpora): the least loss, in nats per
 *         predicted token, that any model can reach on this split's documents of that domain;
 *         text_bytes (where known): bytes of the text that the split's tokens were made of.
 *     root attributes: format "moira-tokens", version, vocab_size, tokenizer_kind, tokenizer_blob,
 *         tokenizer_hash, source (text), domain_names (array of strings; only with labels),
 *         created_by ("moira 0.1.0"); where known, the integers files, empty_documents, bad_lines,
 *         invalid_utf8 and vocabulary_used (see mo_corpus_facts), and split (text: how documents were split);
 *         documents (text, only in version 2): "whole" where documents are never cut and never run on into
 *         each other: windows hold whole ones, and padding (data.h). Absent: the split is one stream.
 * Versions are as in checkpoint.h: newer ones are refused with MO_E_VERSION; attributes, groups and datasets
 * that are not known are passed over. A file with a mask or with whole documents has version 2, for a program
 * that knows neither would train on what is not to be learnt; any other has version 1.
 *
 * Lifetime: mo_tokenfile_open reads the wanted splits whole into memory (uint8/16/32 as stored). */
#ifndef MOIRA_TOKENFILE_H
#define MOIRA_TOKENFILE_H

#include "moira/tokenizer.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum mo_split { MO_SPLIT_TRAIN, MO_SPLIT_VALIDATION } mo_split;

/* What a corpus was, beyond its tokens; -1 where it is not known (files of older programs). */
typedef struct mo_corpus_facts {
    int64_t text_bytes[2];   /* by mo_split */
    int64_t files;           /* that were read */
    int64_t empty_documents; /* left out: without text */
    int64_t bad_lines;       /* left out: lines of JSONL without the text that was asked for */
    int64_t invalid_utf8;    /* bytes of the texts that are no part of valid UTF-8 (mo_utf8_invalid) */
    int64_t vocabulary_used; /* different ids among the tokens */
} mo_corpus_facts;
#define MO_CORPUS_FACTS_UNKNOWN ((mo_corpus_facts){{-1, -1}, -1, -1, -1, -1, -1})

typedef struct mo_tokens {
    int64_t count;        /* tokens in the split */
    int width;            /* bytes per stored token: 1, 2, 4 */
    void *data;           /* count * width bytes, little-endian */
    int64_t documents;    /* D */
    uint64_t *offsets;    /* D + 1 */
    uint16_t *domains;    /* D, or NULL */
    uint8_t *mask;        /* count: 1 = a token to be predicted, 0 = one that is only read; NULL: all are 1 */
    bool whole;           /* windows hold whole documents and padding; else they cut the split as it comes */
    int64_t predictable;  /* tokens to be predicted that are not the first of their document */
    int64_t unlearnt;     /* documents without such a token */
    double *entropy_nats; /* per domain, or NULL */
} mo_tokens;

typedef struct mo_tokenfile {
    char *path;
    char hash[33]; /* of the file, from its stamp */
    mo_tokenizer *tokenizer;
    int64_t vocab_size;
    int n_domains; /* 0 without labels */
    char **domain_names;
    char *source;   /* free text: what it was made of; "" if not known */
    char *split_by; /* free text: how documents were split; "" if not known */
    mo_corpus_facts facts;
    mo_tokens split[2]; /* by mo_split; count 0 if the file has none */
} mo_tokenfile;

/* Checks the stamp, the format, every offset, id range and mask. MO_E_NOT_FOUND, MO_E_FORMAT, MO_E_CORRUPT
 * (truncated, damaged), MO_E_VERSION. */
mo_status mo_tokenfile_open(const char *path, mo_tokenfile **out);
void mo_tokenfile_close(mo_tokenfile *file);
/* Memory that its splits take. */
uint64_t mo_tokenfile_bytes(const mo_tokenfile *file);
static inline int32_t mo_token_at(const mo_tokens *tokens, int64_t i)
{
    switch (tokens->width) {
    case 1:
        return ((const uint8_t *)tokens->data)[i];
    case 2:
        return ((const uint16_t *)tokens->data)[i];
    default:
        return (int32_t)((const uint32_t *)tokens->data)[i];
    }
}

/* Streaming writer: documents go in one after the other; nothing is visible at `path` until finish. */
typedef struct mo_tokenwriter mo_tokenwriter;
typedef struct mo_tokenwriter_options {
    const char *path;
    const mo_tokenizer *tokenizer; /* borrowed while writing */
    const char *source;            /* free text: where it came from */
    const char *split_by;          /* free text: how documents were split; NULL: not told */
    const char *const *domain_names;
    int n_domains;   /* 0 = no labels, at most 16 */
    int compression; /* deflate level 0..9; 0 = stored */
    bool masked;     /* the file has a mask; tokens that are appended without one are to be predicted */
    bool whole;      /* documents are whole */
} mo_tokenwriter_options;
mo_status mo_tokenwriter_open(const mo_tokenwriter_options *options, mo_tokenwriter **out);
/* Appends tokens to the split's current document. */
mo_status mo_tokenwriter_append(mo_tokenwriter *w, mo_split split, const int32_t *ids, int64_t count);
mo_status mo_tokenwriter_append_bytes(mo_tokenwriter *w, mo_split split, const void *bytes, int64_t count);
/* The same with mask[count], of 0 and 1. MO_E_USAGE if the file is to have none. */
mo_status mo_tokenwriter_append_masked(mo_tokenwriter *w, mo_split split, const int32_t *ids,
                                       const uint8_t *mask, int64_t count);
/* Ends the split's current document (empty ones are dropped); domain is ignored without labels. */
mo_status mo_tokenwriter_end_document(mo_tokenwriter *w, mo_split split, int domain);
mo_status mo_tokenwriter_set_entropy(mo_tokenwriter *w, mo_split split, const double *nats_per_domain);
/* What is -1 is not written. */
mo_status mo_tokenwriter_set_facts(mo_tokenwriter *w, const mo_corpus_facts *facts);
/* Stamps and moves the file into place. Both finish and abort free the writer. */
mo_status mo_tokenwriter_finish(mo_tokenwriter *w);
void mo_tokenwriter_abort(mo_tokenwriter *w);

#ifdef __cplusplus
}
#endif
#endif
