/* corpus_jsonl.h -- the text in a line of JSONL (https://jsonlines.org): each line is a JSON value, here an
 * object. */
#ifndef MOIRA_DATA_CORPUS_JSONL_H
#define MOIRA_DATA_CORPUS_JSONL_H

#include <moira/chat.h>

#include "corpus_reader.h"

/* A conversation: what its messages say is borrowed from the line's object. */
typedef struct mo__talk {
    const mo__record *record; /* of the batch: which line it is */
    int count;
    mo_chat_message at[];
} mo__talk;

typedef struct mo__record_text {
    const char *text;
    size_t size;
    int64_t invalid; /* bytes that are no part of valid UTF-8 */
    mo__talk *talk;  /* where lines are conversations; `text` is then of its first message, `size` of all */
    void *owner; /* what the text is in; freed by mo__record_text_free, NULL where nothing is to be freed */
} mo__record_text;

/* The text in field `field` of a line: a key of the object, or a.b for a key of the object under a key.
 * MO_E_FORMAT names the file and the line; MO_E_UNSUPPORTED if the line shows that the file is a JSON array
 * that spans lines. Any thread. */
mo_status mo__record_text_parse(const mo__record *record, const char *line, const char *field,
                                mo__record_text *out);
void mo__record_text_free(mo__record_text *t);

#endif
