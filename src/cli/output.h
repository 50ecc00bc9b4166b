/* output.h -- what may be written over: nothing that a user would miss. */
#ifndef MOIRA_CLI_OUTPUT_H
#define MOIRA_CLI_OUTPUT_H

#include <moira/base.h>

/* A file that a command may replace by a new one of its kind: it makes such files itself. */
typedef struct mo__output_kind {
    const char *noun;   /* "a token file" */
    const char *begins; /* its first bytes; NULL: a SentencePiece model, which is opened */
} mo__output_kind;
extern const mo__output_kind mo__output_tokens, mo__output_texts, mo__output_tokenizer, mo__output_dot,
    mo__output_bench;

/* Before the work: whether `path` can be written, and that what is there is of the kind. kind NULL: that
 * nothing is. MO_E_EXISTS, MO_E_NOT_FOUND (its folder). */
mo_status mo__check_output(const char *path, const mo__output_kind *kind);
/* MO_E_USAGE if both are one file, by whatever names. input may be NULL. */
mo_status mo__check_not_input(const char *path, const char *input);

#endif
