/* buffer.h -- text that grows, and text made safe to show in a message. */
#ifndef MOIRA_CONFIG_BUFFER_H
#define MOIRA_CONFIG_BUFFER_H

#include <moira/base.h>

/* Starts as {0}. After a failed allocation every call does nothing, and mo__buffer_finish reports it. */
typedef struct mo__buffer {
    char *text; /* NUL-terminated once anything was added */
    size_t size, capacity;
    bool failed;
} mo__buffer;

void mo__buffer_add(mo__buffer *buffer, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Moves the text to *out (owned, "" if nothing was added), or frees it if `status` or an allocation failed.
 */
mo_status mo__buffer_finish(mo__buffer *buffer, mo_status status, char **out);

/* At most 60 bytes of a value for a message: control characters and bad UTF-8 become '?', a cut
 * ends in "...". */
typedef struct mo__shown {
    char text[64];
} mo__shown;
mo__shown mo__show(const char *text);

#endif
