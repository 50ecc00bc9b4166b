/* generate_prompts.h -- texts of many prompts, several at once. */
#ifndef MOIRA_CLI_GENERATE_PROMPTS_H
#define MOIRA_CLI_GENERATE_PROMPTS_H

#include "prompts.h"

typedef struct mo__prompts_choices {
    mo_sampling sampling;
    int64_t max_tokens, slots;
    bool tokens, json; /* ids in place of text; an object a line */
} mo__prompts_choices;

/* The texts in the order of their prompts, each as soon as it and all before it have ended. */
mo_status mo__generate_prompts(const mo_trained *t, const mo__prompts *prompts,
                               const mo__prompts_choices *choices);

#endif
