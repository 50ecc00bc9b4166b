/* prompts.h -- prompts out of a file, one a line. */
#ifndef MOIRA_CLI_PROMPTS_H
#define MOIRA_CLI_PROMPTS_H

#include <moira/train.h>

typedef struct mo__prompt_line {
    char *text; /* owned, NUL-terminated */
    size_t size;
    int64_t line; /* of the file, from 1 on */
    int32_t *ids; /* owned; NULL before mo__prompts_encode */
} mo__prompt_line;

typedef struct mo__prompts {
    const char *name; /* of the file, for messages; borrowed */
    mo__prompt_line *at;
    mo_prompt *ids; /* [count] those of `at` */
    int64_t count;
} mo__prompts;

/* path: a text, of which each line is a prompt as it stands; or, of a name that ends in .jsonl, objects with
 * a "prompt", a line each, blank lines between them left out; or "-", a text from standard input. MO_E_FORMAT
 * names file and line. On failure nothing is left to free. */
mo_status mo__prompts_read(const char *path, mo__prompts *out);
/* Gives the prompts their ids; a prompt of no token is MO_E_USAGE. */
mo_status mo__prompts_encode(mo__prompts *p, const mo_tokenizer *tokenizer);
void mo__prompts_free(mo__prompts *p);

#endif
