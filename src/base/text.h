/* text.h -- bounded formatting shared by the error message and the log. */
#ifndef MOIRA_BASE_TEXT_H
#define MOIRA_BASE_TEXT_H

#include <stdarg.h>

#define MO__MESSAGE_SIZE 4096

/* vsnprintf into out[MO__MESSAGE_SIZE]; text that does not fit ends in "...". */
void mo__format(char *out, const char *format, va_list arguments) __attribute__((format(printf, 2, 0)));

#endif
