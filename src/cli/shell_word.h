/* shell_word.h -- words as a shell reads them. */
#ifndef MOIRA_CLI_SHELL_WORD_H
#define MOIRA_CLI_SHELL_WORD_H

#include <moira/base.h>

/* In single quotes where it needs them. Owned. */
char *mo__shell_word(const char *word);

#endif
