/* corpus_texts.h -- the texts of a batch of records: of a text's record its bytes, of a line the field that
 * is asked for. */
#ifndef MOIRA_DATA_CORPUS_TEXTS_H
#define MOIRA_DATA_CORPUS_TEXTS_H

#include "corpus_jsonl.h"

/* Starts as {0} or {tells}; free with mo__texts_free. */
typedef struct mo__texts {
    mo__record_text *at; /* one for each record; text is NULL for a bad line that is skipped */
    int64_t count, room;
    int64_t bad;     /* lines skipped since the begin */
    bool tells;      /* warns of the first of them */
    int64_t invalid; /* bytes since the begin that are no part of valid UTF-8 */
} mo__texts;

/* Replaces what was there. In parallel; the first bad line is an error, or is skipped like all others
 * (but not what shows that the file is no JSONL: MO_E_UNSUPPORTED). The
 * batch must stay as it is while the texts are used. */
mo_status mo__texts_parse(const mo_corpus *corpus, const mo__records *batch, mo__texts *texts);
/* What this thread's last message names is a bad line: adds what would leave it out; or warns of it, if it is
 * one of the first few. */
mo_status mo__refuse_bad(mo_status status);
void mo__tell_bad(int64_t before); /* lines left out before it */
void mo__texts_free(mo__texts *texts);

#endif
