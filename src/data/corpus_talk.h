/* corpus_talk.h -- the conversation in a line of JSONL. */
#ifndef MOIRA_DATA_CORPUS_TALK_H
#define MOIRA_DATA_CORPUS_TALK_H

#include "corpus_jsonl.h"

/* Of {"messages": [{"role", "content"}, ...]}, or of two fields (mo_corpus has their names). The last message
 * is the assistant's, and the assistant always says something. MO_E_FORMAT names the file, the line and the
 * message. Any thread; the record must stay as long as the talk. */
mo_status mo__talk_parse(const mo__record *record, const char *line, const mo_corpus *corpus,
                         mo__record_text *out);

/* Whether the first line of the first file of JSONL, broken ones apart, is a conversation and no text; false
 * for lines that are neither, and for corpora of texts. */
mo_status mo__talk_look(const mo__corpus_files *files, bool *out);

#endif
