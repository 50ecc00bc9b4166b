/* utf8.c -- well-formed UTF-8 by the Unicode Standard, table 3-7: no overlong forms, no surrogates, nothing
 * past 10FFFF. */
#include "utf8.h"

#include <moira/base.h>

#include <string.h>

int mo__utf8_announced(char first)
{
    unsigned char lead = (unsigned char)first;
    if (lead < 0x80) return 1;
    if (lead < 0xC2 || lead > 0xF4) return 0;
    return lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
}

int mo__utf8_next(const char *text, uint32_t *point)
{
    const unsigned char *bytes = (const unsigned char *)text;
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    int length = mo__utf8_announced(text[0]);
    if (length == 0) return 0;
    uint32_t value = length == 1 ? bytes[0] : bytes[0] & (0x7Fu >> length);
    for (int i = 1; i < length; i++) {
        if ((bytes[i] & 0xC0) != 0x80) return 0;
        value = value << 6 | (bytes[i] & 0x3Fu);
    }
    if (value < least[length] || value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF)) return 0;
    *point = value;
    return length;
}

int mo__utf8_at(const char *text, size_t size, uint32_t *point)
{
    return (size_t)mo__utf8_announced(text[0]) <= size ? mo__utf8_next(text, point) : 0;
}

int64_t mo_utf8_invalid(const char *text, size_t size)
{
    int64_t invalid = 0;
    for (size_t i = 0; i < size;) {
        uint64_t eight;
        if (size - i >= sizeof eight) {
            memcpy(&eight, text + i, sizeof eight);
            if (!(eight & UINT64_C(0x8080808080808080))) {
                i += sizeof eight;
                continue;
            }
        }
        uint32_t point;
        int length = mo__utf8_at(text + i, size - i, &point);
        invalid += length == 0;
        i += length ? (size_t)length : 1;
    }
    return invalid;
}

static bool is_control(uint32_t point)
{
    return (point < 0x20 && point != '\n' && point != '\t') || (point >= 0x7F && point < 0xA0);
}

char *mo__printable(const char *text, size_t size)
{
    static const char REPLACEMENT[] = "\xEF\xBF\xBD";
    char *out = mo_malloc(3 * size + 1), *end = out;
    if (!out) return NULL;
    for (size_t i = 0; i < size;) {
        uint32_t point = 0;
        int length = mo__utf8_at(text + i, size - i, &point);
        bool fine = length > 0 && !is_control(point);
        size_t bytes = fine ? (size_t)length : sizeof REPLACEMENT - 1;
        memcpy(end, fine ? text + i : REPLACEMENT, bytes);
        end += bytes;
        i += length > 0 ? (size_t)length : 1;
    }
    *end = '\0';
    return out;
}
