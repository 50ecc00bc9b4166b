/* corpus_scout.c -- a corpus of one document is cut by position, one of several is split by document: which
 * it is must be known before the first byte is written. */
#include "corpus_pass.h"

enum { MARK = 3 /* bytes of a byte order mark */ };

typedef struct {
    int64_t documents, bytes, marks;
    bool whole; /* the file was read to its end */
} tally;

static void count(const mo__records *batch, const mo__texts *texts, tally *t)
{
    for (int64_t i = 0; i < batch->count; i++) {
        size_t size = texts->at[i].size;
        t->documents += batch->at[i].begins && size > 0;
        t->bytes += (int64_t)size;
    }
}

/* Reads a file to its end or to its second document, or, unless `whole`, to its first. */
static mo_status scout_file(const mo__pass_plan *plan, const mo__corpus_file *file, bool whole, tally *t)
{
    mo__reader_plan one = {.files = file, .n_files = 1, .separator = plan->corpus->separator};
    mo__reader *reader;
    mo__records batch = {0};
    mo__texts texts = {0};
    *t = (tally){0};
    mo_status status = mo__reader_open(&one, &reader);
    while (status == MO_OK && !t->whole && t->documents < (whole ? 2 : 1)) {
        if (plan->stop && *plan->stop) status = mo_error(MO_E_INTERRUPTED, "interrupted");
        if (status == MO_OK) status = mo__reader_next(reader, &batch);
        if (status == MO_OK) status = mo__texts_parse(plan->corpus, &batch, &texts);
        if (status == MO_OK) count(&batch, &texts, t);
        t->whole = batch.last;
        t->marks = batch.marks;
    }
    mo__texts_free(&texts);
    mo__records_free(&batch);
    mo__reader_close(reader);
    return status;
}

/* Of a text that is one document whatever is in it the size is known. */
static bool has_plain_size(const mo__pass_plan *plan, const mo__corpus_file *file)
{
    return !file->jsonl && !file->gzip && !plan->corpus->separator;
}

mo_status mo__corpus_scout(mo__pass_plan *plan)
{
    mo__corpus_size *size = &plan->size;
    tally t, of_only = {0};
    *size = (mo__corpus_size){.documents = 0};
    for (int64_t i = 0; i < plan->files->count && size->documents < 2; i++) {
        MO_TRY(scout_file(plan, &plan->files->at[i], false, &t));
        size->documents += t.documents;
        if (t.documents == 0) continue;
        size->only = &plan->files->at[i];
        of_only = t;
    }
    if (size->documents == 1 && !of_only.whole) {
        if (has_plain_size(plan, size->only))
            of_only.bytes = (int64_t)size->only->stored - MARK * of_only.marks;
        else
            MO_TRY(scout_file(plan, size->only, true, &of_only));
        size->documents = of_only.documents;
    }
    size->bytes = of_only.bytes;
    if (size->documents > 2) size->documents = 2;
    return MO_OK;
}
