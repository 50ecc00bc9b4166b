/* corpus_reader.h -- the files of a corpus as records, a few MiB at a time: a record is a line of JSONL, or a
 * text or a piece of one. What is in which batch depends on the input alone.
 *
 *     mo__reader_open(&plan, &reader);                             reads nothing yet
 *     do mo__reader_next(reader, &batch); while (!batch.last);     a batch may be without records
 */
#ifndef MOIRA_DATA_CORPUS_READER_H
#define MOIRA_DATA_CORPUS_READER_H

#include "corpus_files.h"

enum {
    MO__CORPUS_PIECE = 1 << 18, /* bytes of a long text that are one record */
    MO__CORPUS_BATCH = 4 << 20, /* bytes of records that are enough for a batch */
};

typedef struct mo__record {
    size_t at, size; /* in the batch's bytes */
    const mo__corpus_file *file;
    int64_t line;      /* of JSONL, from 1; 0: of a text */
    bool begins, ends; /* a document */
    bool first;        /* of its file */
} mo__record;

/* Starts as {0}; free its arrays with mo__records_free. */
typedef struct mo__records {
    char *bytes;
    size_t used, room;
    mo__record *at;
    int64_t count, records_room;
    uint64_t stored; /* bytes of the files that were read by its end */
    int64_t marks;   /* byte order marks left out by its end */
    bool last;
} mo__records;
void mo__records_free(mo__records *batch);

typedef struct mo__reader_plan {
    const mo__corpus_file *files; /* borrowed, like the rest, while the reader is open */
    int64_t n_files;
    const char *separator; /* NULL: a text file is one document */
    const mo_tokenizer *tokenizer;
} mo__reader_plan;

typedef struct mo__reader mo__reader;
mo_status mo__reader_open(const mo__reader_plan *plan, mo__reader **out);
/* Replaces what was in the batch. */
mo_status mo__reader_next(mo__reader *r, mo__records *batch);
void mo__reader_close(mo__reader *r);

#endif
