/* status.c -- status names and this thread's error message. */
#include <moira/base.h>

#include <stdarg.h>
#include <string.h>

#include "text.h"

static _Thread_local char message[MO__MESSAGE_SIZE];

const char *mo_status_name(mo_status status)
{
    switch (status) {
#define X(code, name, text) \
    case code:              \
        return name;
        MO_STATUS_MAP(X)
#undef X
    case MO_STATUS_COUNT:
        break;
    }
    return "unknown";
}

const char *mo_status_text(mo_status status)
{
    switch (status) {
#define X(code, name, text) \
    case code:              \
        return text;
        MO_STATUS_MAP(X)
#undef X
    case MO_STATUS_COUNT:
        break;
    }
    return "a status this program does not know";
}

/* The arguments may point into `message` itself, so it is written only after formatting is done. */
mo_status mo_error(mo_status status, const char *format, ...)
{
    char formatted[MO__MESSAGE_SIZE];
    va_list arguments;
    va_start(arguments, format);
    mo__format(formatted, format, arguments);
    va_end(arguments);
    memcpy(message, formatted, strlen(formatted) + 1);
    return status;
}

mo_status mo_error_context(mo_status status, const char *format, ...)
{
    char prefix[MO__MESSAGE_SIZE];
    va_list arguments;
    va_start(arguments, format);
    mo__format(prefix, format, arguments);
    va_end(arguments);
    return mo_error(status, "%s: %s", prefix, message);
}

const char *mo_last_error(void)
{
    return message;
}

void mo_error_clear(void)
{
    message[0] = '\0';
}
