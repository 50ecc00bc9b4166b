/* generate_chat.h -- a conversation on the terminal, or in a pipe. */
#ifndef MOIRA_CLI_GENERATE_CHAT_H
#define MOIRA_CLI_GENERATE_CHAT_H

#include <moira/train.h>

typedef struct mo__chat_choices {
    const char *template, *system, *prompt; /* NULL: not given */
    mo_sampling sampling;
    int64_t max_tokens;
} mo__chat_choices;

/* Turns come from standard input, a line each; replies go to standard output as they come, each with a line's
 * end. */
mo_status mo__generate_chat(const mo_trained *t, const mo__chat_choices *choices);

#endif
