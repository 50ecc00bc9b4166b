/* bytes.c -- the byte tokenizer: 256 ids, id = byte, any text there and back. */
#include "tokenizer_kind.h"

#include <stdio.h>

typedef char piece_text[8]; /* "<0x0A>" */

static mo_status start(mo_tokenizer *t)
{
    if (t->blob_size != 0)
        return mo_error(MO_E_CORRUPT, "tokenizer: kind \"bytes\" has a blob of %zu bytes, must have none",
                        t->blob_size);
    piece_text *pieces = t->state = mo_malloc(256 * sizeof *pieces);
    if (!pieces) return MO_E_MEMORY;
    for (int b = 0; b < 256; b++) {
        bool shown = b > 0x20 && b < 0x7F;
        snprintf(pieces[b], sizeof *pieces, shown ? "%c" : "<0x%02X>", (unsigned char)b);
    }
    t->vocab_size = 256;
    t->most_text = 12;
    return MO_OK;
}

static void stop(mo_tokenizer *t)
{
    mo_free(t->state);
}

static mo_status encode(const mo_tokenizer *t, const mo_text_piece *piece, int32_t **ids, int64_t *count)
{
    (void)t;
    int32_t *made = mo_malloc(piece->size * sizeof *made);
    if (!made) return MO_E_MEMORY;
    for (size_t i = 0; i < piece->size; i++) made[i] = (unsigned char)piece->text[i];
    *ids = made;
    *count = (int64_t)piece->size;
    return MO_OK;
}

static size_t cut(const mo_tokenizer *t, const char *text, size_t size)
{
    (void)t, (void)text;
    return size;
}

static size_t decode(const mo_tokenizer *t, mo__decoding *state, int32_t id, char *out)
{
    (void)t;
    return id < 0 ? mo__decoding_flush(state, false, out) : mo__decoding_byte(state, (char)id, false, out);
}

static int64_t token_bytes(const mo_tokenizer *t, int32_t id)
{
    (void)t, (void)id;
    return 1;
}

static const char *piece(const mo_tokenizer *t, int32_t id)
{
    const piece_text *pieces = t->state;
    return pieces[id];
}

const mo__tokenizer_kind mo__tokenizer_bytes_kind = {
    .name = "bytes",
    .byte_ids = true,
    .grain = (size_t)1 << 20,
    .start = start,
    .stop = stop,
    .encode = encode,
    .cut = cut,
    .decode = decode,
    .token_bytes = token_bytes,
    .piece = piece,
};
