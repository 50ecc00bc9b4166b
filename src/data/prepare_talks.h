/* prepare_talks.h -- conversations become ids and a mask, cut to a length where that is asked for. */
#ifndef MOIRA_DATA_PREPARE_TALKS_H
#define MOIRA_DATA_PREPARE_TALKS_H

#include "corpus_pass.h"
#include "length_tally.h"

/* Starts from the borrowed template and the rules; free with mo__prepare_talks_free whatever the status. */
typedef struct mo__prepare_talks {
    const mo_chat_template *chat; /* NULL: no conversations */
    const mo_tokenizer *tokenizer;
    int64_t max_length; /* 0: any */
    bool truncate, skip_bad;
    mo__length_tally *prompts, *completions;
    int64_t completions_cut, turns_cut, truncated, too_long, bad;
} mo__prepare_talks;

typedef struct mo__talk_tokens {
    mo_chat_tokens tokens; /* owned; of none that is left out */
    mo_status status;
    int64_t text_bytes; /* of what its messages say, as far as it is not cut */
    int turns_cut;
    bool completion_cut;
} mo__talk_tokens;

/* Settles what the corpus is, by its first line if that is to say it, and checks the options that are for
 * conversations, or for texts: MO_E_USAGE, and the statuses of mo_chat_template_open. */
mo_status mo__prepare_talks_settle(const mo_prepare_options *options, const mo__corpus_files *files,
                                   mo_corpus_content *content);
const char *mo__prepare_talks_template(const mo_prepare_options *options);

mo_status mo__prepare_talks_start(mo__prepare_talks *t);
/* Encodes pieces that are conversations, with all threads, and counts what befell them; out[pieces->count] is
 * to be freed with mo__talk_tokens_free whatever the status. The first that cannot be encoded is an error
 * that names its line, or, to be skipped, has no tokens. */
mo_status mo__prepare_talks_encode(mo__prepare_talks *t, const mo__pieces *pieces, mo__talk_tokens *out);
void mo__talk_tokens_free(mo__talk_tokens *tokens, int64_t count);
void mo__prepare_talks_sum(const mo__prepare_talks *t, mo_talk_summary *summary);
void mo__prepare_talks_free(mo__prepare_talks *t);

#endif
