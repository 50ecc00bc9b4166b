/* bytes.c -- the byte tokenizer: 256 ids, id = byte, any text there and back. */
#include "tokenizer_kind.h"

static mo_status start(mo_tokenizer *t)
{
    if (t->blob_size != 0)
        return mo_error(MO_E_CORRUPT, "tokenizer: kind \"bytes\" has a blob of %zu bytes, must have none",
                        t->blob_size);
    t->vocab_size = 256;
    return MO_OK;
}

static void stop(mo_tokenizer *t)
{
    (void)t;
}

static mo_status encode(const mo_tokenizer *t, const char *text, size_t size, int32_t **ids, int64_t *count)
{
    (void)t;
    int32_t *made = mo_malloc(size * sizeof *made);
    if (!made) return MO_E_MEMORY;
    for (size_t i = 0; i < size; i++) made[i] = (unsigned char)text[i];
    *ids = made;
    *count = (int64_t)size;
    return MO_OK;
}

static mo_status decode(const mo_tokenizer *t, const int32_t *ids, int64_t count, char **text, size_t *size)
{
    (void)t;
    char *made = mo_malloc((size_t)count + 1);
    if (!made) return MO_E_MEMORY;
    for (int64_t i = 0; i < count; i++) made[i] = (char)ids[i];
    made[count] = '\0';
    *text = made;
    *size = (size_t)count;
    return MO_OK;
}

static int64_t token_bytes(const mo_tokenizer *t, int32_t id)
{
    (void)t, (void)id;
    return 1;
}

const mo__tokenizer_kind mo__tokenizer_bytes_kind = {
    .name = "bytes",
    .byte_ids = true,
    .start = start,
    .stop = stop,
    .encode = encode,
    .decode = decode,
    .token_bytes = token_bytes,
};
