/* h5_root.c -- what a file is, and the tokenizer it carries. */
#include "h5_root.h"

#include <string.h>

#include "base/file.h"

static mo_status write_tokenizer(hid_t file, const mo_tokenizer *tokenizer)
{
    char hash[33];
    size_t size;
    const void *blob = mo_tokenizer_blob(tokenizer, &size);
    mo_tokenizer_hash(tokenizer, hash);
    MO_TRY(mo__h5_put_text(file, "tokenizer_kind", mo_tokenizer_kind(tokenizer)));
    MO_TRY(mo__h5_put_bytes(file, "tokenizer_blob", blob, size));
    return mo__h5_put_text(file, "tokenizer_hash", hash);
}

mo_status mo__root_write(hid_t file, const char *format, int version, const mo_tokenizer *tokenizer)
{
    MO_TRY(mo__h5_put_text(file, "format", format));
    MO_TRY(mo__h5_put_int(file, "version", version));
    MO_TRY(mo__h5_put_text(file, "created_by", MO__CREATED_BY));
    return tokenizer ? write_tokenizer(file, tokenizer) : MO_OK;
}

static mo_status check_format(hid_t file, const char *format, int version)
{
    char *text;
    int64_t found;
    MO_TRY(mo__h5_get_text(file, "format", &text));
    bool same = !strcmp(text, format);
    mo_free(text);
    if (!same) return mo_error(MO_E_FORMAT, "attribute format: is not \"%s\"", format);
    MO_TRY(mo__h5_get_int(file, "version", &found));
    if (found < 1) return mo_error(MO_E_FORMAT, "attribute version: is %lld", (long long)found);
    return found > version ? mo__version_error("a file", found, version) : MO_OK;
}

static mo_status check_hash(const mo_tokenizer *tokenizer, const char *stored)
{
    char hash[33];
    mo_tokenizer_hash(tokenizer, hash);
    if (strcmp(hash, stored))
        return mo_error(MO_E_CORRUPT, "attribute tokenizer_hash: is %s, the tokenizer's is %s", stored, hash);
    return MO_OK;
}

static mo_status read_tokenizer(hid_t file, mo_tokenizer **out)
{
    char *kind = NULL, *blob = NULL, *hash = NULL;
    size_t size = 0;
    mo_tokenizer *made = NULL;
    mo_status status = mo__h5_get_text(file, "tokenizer_kind", &kind);
    if (status == MO_OK) status = mo__h5_get_bytes(file, "tokenizer_blob", &blob, &size);
    if (status == MO_OK) status = mo__h5_get_text(file, "tokenizer_hash", &hash);
    if (status == MO_OK) status = mo_tokenizer_restore(kind, blob, size, &made);
    if (status == MO_OK) status = check_hash(made, hash);
    mo_free(kind);
    mo_free(blob);
    mo_free(hash);
    if (status != MO_OK)
        mo_tokenizer_free(made);
    else
        *out = made;
    return status;
}

mo_status mo__root_read(hid_t file, const char *format, int version, mo_tokenizer **tokenizer)
{
    *tokenizer = NULL;
    MO_TRY(check_format(file, format, version));
    return mo__h5_has_attribute(file, "tokenizer_kind") ? read_tokenizer(file, tokenizer) : MO_OK;
}
