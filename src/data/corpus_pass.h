/* corpus_pass.h -- one pass over a corpus: its documents as pieces of text, in order, each of its split.
 *
 *     mo__pass_open(&plan, &pass);
 *     do { mo__pass_next(pass, &pieces); ... } while (!pieces.last);
 *     mo__pass_close(pass);
 */
#ifndef MOIRA_DATA_CORPUS_PASS_H
#define MOIRA_DATA_CORPUS_PASS_H

#include "corpus_texts.h"

typedef struct mo__piece {
    const char *text;
    size_t size;
    mo_split split;
    bool begins, ends;    /* a document */
    const mo__talk *talk; /* of a conversation, which is one piece; `size` is then of all that it says */
    bool closes; /* what the split has of a document: its end, or the place where it is cut by position */
} mo__piece;

typedef struct mo__pieces {
    const mo__piece *at;
    int64_t count;
    bool last;
    uint64_t stored; /* bytes of the files read so far */
} mo__pieces;

/* Is there more than one document? If not: the bytes of the only one. Reads no more than is needed to know.
 */
typedef struct mo__corpus_size {
    int64_t documents;           /* 0, 1, or 2 for more than one */
    int64_t bytes;               /* of the only one */
    const mo__corpus_file *only; /* its file */
} mo__corpus_size;

typedef struct mo__pass_plan {
    const mo_corpus *corpus; /* borrowed, like the rest */
    const mo__corpus_files *files;
    const mo_tokenizer *tokenizer; /* NULL: text is cut between any two characters */
    double validation;
    uint64_t seed;
    mo__corpus_size size;
    bool tells;                        /* of the first lines that are left out */
    const volatile sig_atomic_t *stop; /* may be NULL */
} mo__pass_plan;

/* Fills plan->size (corpus_scout.c). */
mo_status mo__corpus_scout(mo__pass_plan *plan);

typedef struct mo__pass mo__pass;
mo_status mo__pass_open(const mo__pass_plan *plan, mo__pass **out);
/* Valid until the next call. MO_E_INTERRUPTED once *stop is set. */
mo_status mo__pass_next(mo__pass *p, mo__pieces *out);
/* Adds what was met so far: documents without text and bad lines, which were left out, and bytes that are not
 * UTF-8; *marks: byte order marks, left out. */
void mo__pass_facts(const mo__pass *p, mo_corpus_facts *facts, int64_t *marks);
void mo__pass_close(mo__pass *p);

#endif
