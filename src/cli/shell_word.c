/* shell_word.c -- words as a shell reads them. */
#include "shell_word.h"

#include <string.h>

#include "config/buffer.h"

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

/* A shell has no way to write a newline within a line, so printf makes it. */
static void add_folded(const char *line, mo__buffer *out)
{
    mo__buffer_add(out, "eval \"$(printf '%%b' '");
    for (; *line; line++) {
        const char plain[] = {*line, '\0'};
        mo__buffer_add(out, "%s",
                       *line == '\n'   ? "\\n"
                       : *line == '\\' ? "\\\\"
                       : *line == '\'' ? "'\\''"
                                       : plain);
    }
    mo__buffer_add(out, "')\"");
}

char *mo__shell_line(const char *const *words, int count)
{
    mo__buffer plain = {0}, folded = {0};
    char *line = NULL, *out = NULL;
    for (int i = 0; i < count; i++) {
        char *word = mo__shell_word(words[i]);
        if (word) mo__buffer_add(&plain, "%s%s", i ? " " : "", word);
        plain.failed = plain.failed || !word;
        mo_free(word);
    }
    if (mo__buffer_finish(&plain, MO_OK, &line) != MO_OK || !strchr(line, '\n')) return line;
    add_folded(line, &folded);
    mo_free(line);
    return mo__buffer_finish(&folded, MO_OK, &out) == MO_OK ? out : NULL;
}
