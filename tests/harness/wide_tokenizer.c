/* wide_tokenizer.c -- a kind of tokenizer that only tests have. */
#include "wide_tokenizer.h"

#include <stdlib.h>

#include "harness.h"
#include "tokenizer/tokenizer_kind.h"

static mo_status start(mo_tokenizer *t)
{
    size_t size;
    char text[32];
    const void *blob = mo_tokenizer_blob(t, &size);
    snprintf(text, sizeof text, "%.*s", (int)size, (const char *)blob);
    t->vocab_size = strtoll(text, NULL, 10);
    return t->vocab_size > 0 ? MO_OK : mo_error(MO_E_CORRUPT, "wide: \"%s\" is no size", text);
}

static void stop(mo_tokenizer *t)
{
    (void)t;
}

static mo_status encode(const mo_tokenizer *t, const mo_text_piece *piece, int32_t **ids, int64_t *count)
{
    *ids = mo_malloc(piece->size * sizeof **ids);
    if (!*ids) return MO_E_MEMORY;
    for (size_t i = 0; i < piece->size; i++)
        (*ids)[i] = (int32_t)((unsigned char)piece->text[i] * INT64_C(397) % t->vocab_size);
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
    (void)t, (void)state, (void)id, (void)out;
    return 0;
}

static const char *piece(const mo_tokenizer *t, int32_t id)
{
    (void)t, (void)id;
    return "";
}

static int64_t token_bytes(const mo_tokenizer *t, int32_t id)
{
    (void)t;
    return 1 + id % 3;
}

static const mo__tokenizer_kind KIND = {.name = "wide",
                                        .grain = 4096,
                                        .start = start,
                                        .stop = stop,
                                        .encode = encode,
                                        .cut = cut,
                                        .decode = decode,
                                        .token_bytes = token_bytes,
                                        .piece = piece};

mo_tokenizer *wide_tokenizer(int vocab_size)
{
    char blob[16];
    int size = snprintf(blob, sizeof blob, "%d", vocab_size);
    mo_tokenizer *t;
    mo__tokenizer_test_kind = &KIND;
    MO_CHECK_OK(mo__tokenizer_create(&KIND, blob, (size_t)size, &t));
    return t;
}
