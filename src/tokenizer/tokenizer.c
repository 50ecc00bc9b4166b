/* tokenizer.c -- creation, identity, and the checks that every kind shares. */
#include "tokenizer_kind.h"

#include <string.h>

const mo__tokenizer_kind *mo__tokenizer_test_kind;

static const mo__tokenizer_kind *find_kind(const char *name)
{
    static const mo__tokenizer_kind *const KINDS[] = {&mo__tokenizer_bytes_kind};
    for (size_t i = 0; i < sizeof KINDS / sizeof *KINDS; i++)
        if (!strcmp(KINDS[i]->name, name)) return KINDS[i];
    if (mo__tokenizer_test_kind && !strcmp(mo__tokenizer_test_kind->name, name))
        return mo__tokenizer_test_kind;
    return NULL;
}

static size_t name_size(const mo_tokenizer *t)
{
    return strlen(t->kind->name) + 1;
}

mo_status mo__tokenizer_create(const mo__tokenizer_kind *kind, const void *blob, size_t size,
                               mo_tokenizer **out)
{
    *out = NULL;
    mo_tokenizer *t = mo_calloc(1, sizeof *t);
    if (!t) return MO_E_MEMORY;
    t->kind = kind;
    t->blob_size = size;
    t->image = mo_malloc(name_size(t) + size);
    mo_status status = t->image ? MO_OK : MO_E_MEMORY;
    if (status == MO_OK) {
        memcpy(t->image, kind->name, name_size(t));
        if (size) memcpy(t->image + name_size(t), blob, size);
        status = kind->start(t);
    }
    if (status != MO_OK) {
        mo_free(t->image);
        mo_free(t);
        return status;
    }
    *out = t;
    return MO_OK;
}

mo_status mo_tokenizer_bytes(mo_tokenizer **out)
{
    return mo__tokenizer_create(&mo__tokenizer_bytes_kind, NULL, 0, out);
}

mo_status mo_tokenizer_restore(const char *kind, const void *blob, size_t size, mo_tokenizer **out)
{
    *out = NULL;
    const mo__tokenizer_kind *found = find_kind(kind);
    if (!found)
        return mo_error(MO_E_UNSUPPORTED, "tokenizer: kind \"%s\" is not known to this program", kind);
    return mo__tokenizer_create(found, blob, size, out);
}

void mo_tokenizer_free(mo_tokenizer *t)
{
    if (!t) return;
    t->kind->stop(t);
    mo_free(t->image);
    mo_free(t);
}

const char *mo_tokenizer_kind(const mo_tokenizer *t)
{
    return t->kind->name;
}

const void *mo_tokenizer_blob(const mo_tokenizer *t, size_t *size)
{
    *size = t->blob_size;
    return t->image + name_size(t);
}

int64_t mo_tokenizer_vocab_size(const mo_tokenizer *t)
{
    return t->vocab_size;
}

void mo_tokenizer_hash(const mo_tokenizer *t, char hex[33])
{
    mo_hash_bytes(t->image, name_size(t) + t->blob_size, hex);
}

bool mo_tokenizer_equal(const mo_tokenizer *a, const mo_tokenizer *b)
{
    size_t size = name_size(a) + a->blob_size;
    return size == name_size(b) + b->blob_size && !memcmp(a->image, b->image, size);
}

mo_status mo_tokenizer_encode(const mo_tokenizer *t, const char *text, size_t size, int32_t **ids,
                              int64_t *count)
{
    *ids = NULL;
    *count = 0;
    return t->kind->encode(t, text, size, ids, count);
}

mo_status mo_tokenizer_decode(const mo_tokenizer *t, const int32_t *ids, int64_t count, char **text,
                              size_t *size)
{
    *text = NULL;
    *size = 0;
    for (int64_t i = 0; i < count; i++)
        if (ids[i] < 0 || ids[i] >= t->vocab_size)
            return mo_error(MO_E_RANGE, "tokenizer: id %d at position %lld is none, ids are 0 to %lld",
                            (int)ids[i], (long long)i, (long long)t->vocab_size - 1);
    return t->kind->decode(t, ids, count, text, size);
}

int64_t mo_tokenizer_token_bytes(const mo_tokenizer *t, int32_t id)
{
    return t->kind->token_bytes(t, id);
}
