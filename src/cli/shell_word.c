/* shell_word.c -- words as a shell reads them. */
#include "shell_word.h"

#include <string.h>

char *mo__shell_word(const char *word)
{
    static const char PLAIN[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_./:,@%+=-";
    if (*word && word[strspn(word, PLAIN)] == '\0') return mo_strdup(word);
    char *out = mo_malloc(4 * strlen(word) + 3), *end = out;
    if (!out) return NULL;
    *end++ = '\'';
    for (; *word; word++) end += sprintf(end, "%s%.1s", *word == '\'' ? "'\\'" : "", word);
    memcpy(end, "'", 2);
    return out;
}
