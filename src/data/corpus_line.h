/* corpus_line.h -- a line of JSONL as an object, its fields, and what is wrong with it. */
#ifndef MOIRA_DATA_CORPUS_LINE_H
#define MOIRA_DATA_CORPUS_LINE_H

#include <jansson.h>

#include "corpus_reader.h"

enum { MO__LINE_SHOWN = 160 };

/* The line's object, owned. MO_E_FORMAT names the file and the line; MO_E_UNSUPPORTED if the line shows that
 * the file is a JSON array that spans lines. Any thread. */
mo_status mo__line_object(const mo__record *record, const char *line, json_t **out);
/* object.a.b, where the object has no key "a.b" itself; NULL. */
const json_t *mo__line_find(const json_t *object, const char *field);
const char *mo__line_kind(const json_t *value); /* "a text", "an object", ... */
/* What is quoted from a file, without control characters and cut to what is shown. */
void mo__line_show(char out[MO__LINE_SHOWN], const char *text);
/* "line 7: <problem>" of the record's file. */
mo_status mo__line_refuse(const mo__record *record, const char *problem);
/* "line 7: <problem>; it has "question", "answer"; <advice>" */
mo_status mo__line_refuse_absent(const mo__record *record, json_t *object, const char *problem,
                                 const char *advice);
/* MO_E_FORMAT unless the value is a text without NUL; *text is borrowed from it. `what`: "field "a"". */
mo_status mo__line_text(const mo__record *record, const json_t *value, const char *what, const char **text,
                        size_t *size);

#endif
