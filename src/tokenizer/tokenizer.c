/* tokenizer.c -- creation, identity, and the checks that every kind shares. */
#include "tokenizer_kind.h"

#include <string.h>

const mo__tokenizer_kind *mo__tokenizer_test_kind;

static const mo__tokenizer_kind *find_kind(const char *name)
{
    static const mo__tokenizer_kind *const KINDS[] = {&mo__tokenizer_bytes_kind,
                                                      &mo__tokenizer_sentencepiece_kind};
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
    t->bos = t->eos = -1;
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

/* A file that a user names is of the wrong format where an embedded blob would be damaged. */
mo_status mo_tokenizer_open(const char *path, mo_tokenizer **out)
{
    static const size_t MOST_BYTES = (size_t)256 << 20;
    char *model;
    size_t size;
    *out = NULL;
    MO_TRY(mo_read_file(path, MOST_BYTES, &model, &size));
    mo_status status = mo__tokenizer_create(&mo__tokenizer_sentencepiece_kind, model, size, out);
    mo_free(model);
    if (status == MO_E_CORRUPT)
        return mo_error(
            MO_E_FORMAT,
            "%s: is no SentencePiece model, or a damaged one (%s); expected is a .model file, such as "
            "Mixtral's tokenizer.model (not tokenizer.json)",
            path, mo_last_error());
    return status == MO_OK ? MO_OK : mo_error_context(status, "%s", path);
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

int32_t mo_tokenizer_bos(const mo_tokenizer *t)
{
    return t->bos;
}

int32_t mo_tokenizer_eos(const mo_tokenizer *t)
{
    return t->eos;
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

int64_t mo_tokenizer_token_bytes(const mo_tokenizer *t, int32_t id)
{
    return t->kind->token_bytes(t, id);
}

const char *mo_tokenizer_piece(const mo_tokenizer *t, int32_t id)
{
    return t->kind->piece(t, id);
}
