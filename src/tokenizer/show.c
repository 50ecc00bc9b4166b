/* show.c -- a token's text for people to read: legible, safe on a terminal, one line. */
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "moira/tokenizer.h"

enum { MOST_ESCAPE = 10 }; /* \U000E0001 */
static const char WORD_MARK[] = "\xE2\x96\x81";

/* The byte that "<0x0A>" stands for, or -1: a piece of that spelling that is no byte has six bytes of text.
 */
static int byte_of(const mo_tokenizer *t, int32_t id, const char *piece)
{
    if (strlen(piece) != 6 || strncmp(piece, "<0x", 3) != 0 || mo_tokenizer_token_bytes(t, id) != 1)
        return -1;
    return (int)strtol(piece + 3, NULL, 16);
}

/* Controls, and what has no shape, or changes the order of what stands around it. */
static bool is_unseen(uint32_t c)
{
    static const uint32_t ranges[][2] = {
        {0, 0x1F},        {0x7F, 0xA0},     {0xAD, 0xAD},      {0x61C, 0x61C},   {0x180E, 0x180E},
        {0x2000, 0x200F}, {0x2028, 0x202F}, {0x205F, 0x206F},  {0x3000, 0x3000}, {0xFE00, 0xFE0F},
        {0xFEFF, 0xFEFF}, {0xFFF0, 0xFFFB}, {0xE0000, 0xE0FFF}};
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        if (c >= ranges[i][0] && c <= ranges[i][1]) return true;
    return false;
}

static int put_point(char *out, uint32_t c, const char *text, int length)
{
    static const char plain[] = "\n\t\r\\\"", letters[] = "ntr\\\"";
    const char *at = c > 0 && c < 0x80 ? strchr(plain, (int)c) : NULL;
    if (at) return sprintf(out, "\\%c", letters[at - plain]);
    if (c < 0x80 && is_unseen(c)) return sprintf(out, "\\x%02X", (unsigned)c);
    if (is_unseen(c)) return sprintf(out, c > 0xFFFF ? "\\U%08X" : "\\u%04X", (unsigned)c);
    memcpy(out, text, (size_t)length);
    return length;
}

char *mo_tokenizer_show(const mo_tokenizer *t, int32_t id)
{
    const char *piece = mo_tokenizer_piece(t, id);
    int byte = byte_of(t, id, piece);
    char single[2] = {(char)byte, '\0'};
    if (byte >= 0) piece = single;
    size_t size = byte >= 0 ? 1 : strlen(piece);
    char *out = mo_malloc(size * MOST_ESCAPE + 1), *end = out;
    for (size_t i = 0; out && i < size;) {
        uint32_t c = 0;
        int length = mo__utf8_at(piece + i, size - i, &c);
        if (length == 0)
            end += sprintf(end, "\\x%02X", (unsigned char)piece[i]);
        else if (length == 3 && memcmp(piece + i, WORD_MARK, 3) == 0)
            *end++ = ' ';
        else
            end += put_point(end, c, piece + i, length);
        i += length > 0 ? (size_t)length : 1;
    }
    if (out) *end = '\0';
    return out;
}
