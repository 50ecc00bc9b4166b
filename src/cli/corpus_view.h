/* corpus_view.h -- what a corpus is, as prepare and inspect show it. */
#ifndef MOIRA_CLI_CORPUS_VIEW_H
#define MOIRA_CLI_CORPUS_VIEW_H

#include <jansson.h>

#include <moira/data.h>

extern const char *const mo__split_names[2]; /* by mo_split */

/* Both splits' lengths of documents (the noun), shortest, median and longest, and how many there are of each
 * power of two. Nothing for splits of a document at most. */
mo_status mo__print_lengths(const mo_lengths lengths[2], const char *noun);
/* Of conversations: how long prompts and completions are, the share that is learnt, what was cut. */
void mo__print_talks(const mo_talk_summary *talks);
/* {"template", "prompts": {"tokens", "least", "median", "most"}, "completions": {...}, "share_learnt",
 * "truncated", ...} */
json_t *mo__talks_json(const mo_talk_summary *talks);
/* Text bytes, bytes per token, ids used, what was left out, what is not UTF-8: lines for what is known. */
void mo__print_facts(const mo_corpus_facts *facts, const int64_t tokens[2], const char *tokenizer_kind,
                     int64_t vocab_size, bool talks);

/* {"tokens", "documents", "text_bytes", "length": {"least", "median", "most", "histogram": [{"from", "to",
 * "documents"}]}} */
json_t *mo__split_json(const mo_lengths *lengths, int64_t text_bytes);
/* Sets what is known: "bytes_per_token", "vocabulary_used", ... */
void mo__facts_json(json_t *object, const mo_corpus_facts *facts, const int64_t tokens[2]);

#endif
