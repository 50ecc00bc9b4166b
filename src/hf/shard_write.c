/* shard_write.c -- the header, then values narrowed a piece at a time. */
#include "hf/shard_write.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "hf/hf_json.h"

enum { PIECE = 1 << 18 }; /* values */

static mo_status add_entry(json_t *header, const mo__shard_entry *e, int64_t begin)
{
    json_t *entry = json_object(), *shape = json_array(), *offsets = json_array();
    bool good = entry && shape && offsets;
    for (int i = 0; good && i < e->ndim; i++)
        good = json_array_append_new(shape, json_integer(e->dim[i])) == 0;
    good = good && json_array_append_new(offsets, json_integer(begin)) == 0 &&
           json_array_append_new(offsets, json_integer(begin + e->bytes)) == 0 &&
           json_object_set_new(entry, "dtype", json_string(mo__shard_dtype_of(e->dtype)->name)) == 0 &&
           json_object_set(entry, "shape", shape) == 0 &&
           json_object_set(entry, "data_offsets", offsets) == 0 &&
           json_object_set(header, e->name, entry) == 0;
    json_decref(entry);
    json_decref(shape);
    json_decref(offsets);
    return good ? MO_OK : mo_error(MO_E_MEMORY, "no memory for the header of a safetensors file");
}

/* transformers reads no file without this format. */
static mo_status add_all(json_t *header, const mo__shard_entry *const *entries, int64_t n)
{
    int64_t at = 0;
    json_t *metadata = json_object();
    MO_TRY(mo__hf_json_put(header, "__metadata__", metadata));
    MO_TRY(mo__hf_json_put(metadata, "format", json_string("pt")));
    for (int64_t i = 0; i < n; i++) {
        MO_TRY(add_entry(header, entries[i], at));
        at += entries[i]->bytes;
    }
    return MO_OK;
}

/* Spaces behind it let the data begin at a multiple of 8. */
static mo_status write_header(mo__shard_writer *w, const char *text)
{
    size_t size = strlen(text), padded = (size + 7) / 8 * 8;
    unsigned char prefix[8];
    for (int i = 0; i < 8; i++) prefix[i] = (unsigned char)(padded >> 8 * i);
    bool good = fwrite(prefix, 1, 8, w->file) == 8 && fwrite(text, 1, size, w->file) == size;
    for (; good && size < padded; size++) good = fputc(' ', w->file) != EOF;
    return good ? MO_OK : mo__file_error(w->path, "write");
}

mo_status mo__shard_begin(const char *path, const mo__shard_entry *const *entries, int64_t n,
                          mo__shard_writer *w)
{
    *w = (mo__shard_writer){.path = mo_strdup(path), .narrow = mo_malloc(PIECE * sizeof(float))};
    if (!w->path || !w->narrow) return mo__shard_end(w, MO_E_MEMORY);
    if (!(w->file = fopen(path, "wbxe"))) return mo__shard_end(w, mo__file_error(path, "create"));
    json_t *header = json_object();
    mo_status status = header ? add_all(header, entries, n) : mo_error(MO_E_MEMORY, "no memory for a header");
    char *text = status == MO_OK ? json_dumps(header, JSON_COMPACT) : NULL;
    if (status == MO_OK)
        status = text ? write_header(w, text) : mo_error(MO_E_MEMORY, "no memory for the header of %s", path);
    free(text);
    json_decref(header);
    return status == MO_OK ? MO_OK : mo__shard_end(w, status);
}

/* Exponent all ones and fraction zero: an infinity, in any of the three types. */
static bool is_infinite(mo_dtype dtype, const void *narrow, int64_t i)
{
    uint16_t half;
    float whole;
    if (dtype == MO_F32) {
        memcpy(&whole, (const char *)narrow + 4 * i, sizeof whole);
        return isinf(whole);
    }
    memcpy(&half, (const char *)narrow + 2 * i, sizeof half);
    return (half & 0x7fff) == (dtype == MO_F16 ? 0x7c00 : 0x7f80);
}

static mo_status check_range(const mo__shard_entry *e, const mo_real *x, const void *narrow, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        if (is_infinite(e->dtype, narrow, i) && !isinf(x[i]))
            return mo_error(MO_E_RANGE, "tensor %s has a value of %g, which is too large for %s", e->name,
                            (double)x[i], mo_dtype_name(e->dtype));
    return MO_OK;
}

mo_status mo__shard_values(mo__shard_writer *w, const mo__shard_entry *entry, const mo_real *x, int64_t count)
{
    size_t each = mo_dtype_size(entry->dtype);
    for (int64_t i = 0; i < count; i += PIECE) {
        int64_t n = count - i < PIECE ? count - i : PIECE;
        mo_narrow(entry->dtype, x + i, n, w->narrow);
        MO_TRY(check_range(entry, x + i, w->narrow, n));
        if (fwrite(w->narrow, each, (size_t)n, w->file) != (size_t)n) return mo__file_error(w->path, "write");
    }
    return MO_OK;
}

mo_status mo__shard_end(mo__shard_writer *w, mo_status status)
{
    if (status == MO_OK && (fflush(w->file) != 0 || fsync(fileno(w->file)) != 0))
        status = mo__file_error(w->path, "write");
    if (w->file && fclose(w->file) != 0 && status == MO_OK) status = mo__file_error(w->path, "write");
    mo_free(w->path);
    mo_free(w->narrow);
    *w = (mo__shard_writer){0};
    return status;
}
