/* shell_word.h -- words as a shell reads them. */
#ifndef MOIRA_CLI_SHELL_WORD_H
#define MOIRA_CLI_SHELL_WORD_H

#include <moira/base.h>

/* In single quotes where it needs them. Owned. */
char *mo__shell_word(const char *word);
/* A command in one line, whatever its words hold. Owned. */
char *mo__shell_line(const char *const *words, int count);

#endif
