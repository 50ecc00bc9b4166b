/* decode.c -- ids to text, whole and as a stream. */
#include <string.h>

#include "base/utf8.h"
#include "tokenizer_kind.h"

static const char REPLACEMENT[] = "\xEF\xBF\xBD"; /* U+FFFD */

/* Whether more bytes may make what is held a character. */
static bool may_grow(const mo__decoding *d)
{
    if (d->held >= mo__utf8_announced(d->character[0])) return false;
    for (int i = 1; i < d->held; i++)
        if (((unsigned char)d->character[i] & 0xC0) != 0x80) return false;
    return true;
}

/* Moves one character, or one byte that starts none, from what is held to out. */
static size_t release(mo__decoding *d, bool replace, char *out)
{
    uint32_t point;
    int length = mo__utf8_at(d->character, (size_t)d->held, &point);
    int taken = length ? length : 1;
    size_t size = length || !replace ? (size_t)taken : sizeof REPLACEMENT - 1;
    memcpy(out, length || !replace ? d->character : REPLACEMENT, size);
    d->held -= taken;
    memmove(d->character, d->character + taken, (size_t)d->held);
    return size;
}

size_t mo__decoding_byte(mo__decoding *d, char byte, bool replace, char *out)
{
    size_t size = 0;
    d->character[d->held++] = byte;
    while (d->held && !may_grow(d)) size += release(d, replace, out + size);
    return size;
}

size_t mo__decoding_flush(mo__decoding *d, bool replace, char *out)
{
    size_t size = 0;
    while (d->held) size += release(d, replace, out + size);
    return size;
}

/* ---- whole ---- */

static mo_status check_ids(const mo_tokenizer *t, const int32_t *ids, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        if (ids[i] < 0 || ids[i] >= t->vocab_size)
            return mo_error(MO_E_RANGE, "tokenizer: id %d at position %lld is none, ids are 0 to %lld",
                            (int)ids[i], (long long)i, (long long)t->vocab_size - 1);
    return MO_OK;
}

mo_status mo_tokenizer_decode(const mo_tokenizer *t, const int32_t *ids, int64_t count, char **text,
                              size_t *size)
{
    *text = NULL;
    *size = 0;
    MO_TRY(check_ids(t, ids, count));
    mo__decoding state = {0};
    size_t used = 0, capacity = (size_t)count + 2 * t->most_text + 64;
    char *made = mo_malloc(capacity);
    if (!made) return MO_E_MEMORY;
    for (int64_t i = 0; i <= count; i++) {
        if (capacity - used <= t->most_text) {
            char *larger = mo_realloc(made, capacity *= 2);
            if (!larger) {
                mo_free(made);
                return MO_E_MEMORY;
            }
            made = larger;
        }
        used += t->kind->decode(t, &state, i < count ? ids[i] : -1, made + used);
    }
    made[used] = '\0';
    *text = made;
    *size = used;
    return MO_OK;
}

/* ---- id by id ---- */

struct mo_tokenizer_stream {
    const mo_tokenizer *tokenizer;
    mo__decoding state;
    char text[]; /* most_text */
};

mo_status mo_tokenizer_stream_open(const mo_tokenizer *t, mo_tokenizer_stream **out)
{
    mo_tokenizer_stream *s = *out = mo_calloc(1, sizeof *s + t->most_text);
    if (!s) return MO_E_MEMORY;
    s->tokenizer = t;
    return MO_OK;
}

void mo_tokenizer_stream_close(mo_tokenizer_stream *s)
{
    mo_free(s);
}

const char *mo_tokenizer_stream_next(mo_tokenizer_stream *s, int32_t id, size_t *size)
{
    *size = s->tokenizer->kind->decode(s->tokenizer, &s->state, id, s->text);
    return s->text;
}

const char *mo_tokenizer_stream_end(mo_tokenizer_stream *s, size_t *size)
{
    *size = s->tokenizer->kind->decode(s->tokenizer, &s->state, -1, s->text);
    s->state = (mo__decoding){0};
    return s->text;
}
