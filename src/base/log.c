/* log.c -- hands messages to whoever the process named; silent until then. */
#include <moira/base.h>

#include <stdarg.h>

#include "text.h"

static mo_log_fn log_fn;
static void *log_user;

void mo_log_set(mo_log_fn fn, void *user)
{
    log_fn = fn;
    log_user = user;
}

void mo_log(mo_log_level level, const char *format, ...)
{
    if (!log_fn) return;
    char text[MO__MESSAGE_SIZE];
    va_list arguments;
    va_start(arguments, format);
    mo__format(text, format, arguments);
    va_end(arguments);
    log_fn(level, text, log_user);
}
