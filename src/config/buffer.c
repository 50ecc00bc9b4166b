/* buffer.c -- text that grows, and text made safe to show in a message. */
#include "buffer.h"

#include <stdarg.h>
#include <string.h>

#include "base/utf8.h"

static bool reserve(mo__buffer *buffer, size_t more)
{
    size_t needed = buffer->size + more + 1;
    if (needed <= buffer->capacity) return true;
    size_t capacity = needed < 512 ? 1024 : 2 * needed;
    char *larger = mo_realloc(buffer->text, capacity);
    if (!larger) return false;
    buffer->text = larger;
    buffer->capacity = capacity;
    return true;
}

void mo__buffer_add(mo__buffer *buffer, const char *format, ...)
{
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, arguments);
    if (!buffer->failed && length >= 0 && reserve(buffer, (size_t)length)) {
        vsnprintf(buffer->text + buffer->size, (size_t)length + 1, format, again);
        buffer->size += (size_t)length;
    } else {
        buffer->failed = true;
    }
    va_end(again);
    va_end(arguments);
}

mo_status mo__buffer_finish(mo__buffer *buffer, mo_status status, char **out)
{
    mo__buffer_add(buffer, "%s", "");
    if (status == MO_OK && buffer->failed) status = MO_E_MEMORY;
    *out = status == MO_OK ? buffer->text : NULL;
    if (status != MO_OK) mo_free(buffer->text);
    *buffer = (mo__buffer){0};
    return status;
}

mo__shown mo__show(const char *text)
{
    enum { MOST = 60 };
    mo__shown shown = {{0}};
    size_t used = 0;
    while (*text) {
        uint32_t point = 0;
        int length = mo__utf8_next(text, &point);
        size_t taken = length ? (size_t)length : 1;
        if (used + taken > MOST) {
            memcpy(shown.text + used, "...", 4);
            break;
        }
        bool printable = length > 0 && point >= 0x20 && (point < 0x7F || point >= 0xA0);
        for (size_t i = 0; i < taken; i++) shown.text[used++] = printable ? text[i] : '?';
        text += taken;
    }
    return shown;
}
