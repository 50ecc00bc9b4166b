/* utf8.h -- code points of UTF-8 text. */
#ifndef MOIRA_BASE_UTF8_H
#define MOIRA_BASE_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* Bytes of the sequence that starts with `first`, by that byte alone; 0 if none does. */
int mo__utf8_announced(char first);
/* Length of the UTF-8 sequence at `text` (NUL-terminated) and its code point; 0 if it is not valid UTF-8. */
int mo__utf8_next(const char *text, uint32_t *point);
/* The same for text[size], size > 0; a sequence that `size` cuts short is not valid. */
int mo__utf8_at(const char *text, size_t size, uint32_t *point);

/* Copies text[size] so that it is UTF-8 and a terminal is safe from it: control characters but \n and \t, and
 * bytes that are not UTF-8, become U+FFFD. Owned, NUL-terminated; NULL when out of memory. */
char *mo__printable(const char *text, size_t size);

#endif
