/* safetensors_read.c -- a file is mapped, and nothing in it is believed before it is checked. */
#include "hf/safetensors.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "hf/hf_json.h"

enum { MOST_HEADER = 100000000, PREFIX = 8 };

/* ---- one tensor ---- */

/* Elements * bits must be whole bytes that int64_t can count. */
static mo_status count_bytes(const mo__shard *s, const mo__shard_tensor *t, int64_t *bytes)
{
    int64_t elements = 1, bits = 0;
    bool fits = true;
    for (int i = 0; i < t->ndim; i++) fits = fits && !__builtin_mul_overflow(elements, t->dim[i], &elements);
    fits = fits && !__builtin_mul_overflow(elements, t->dtype->bits, &bits);
    if (!fits)
        return mo_error(MO_E_CORRUPT, "%s: tensor %s of shape %s has more elements than can be counted",
                        s->path, t->name, mo__shape_show(t->ndim, t->dim).text);
    if (bits % 8 != 0)
        return mo_error(MO_E_CORRUPT, "%s: tensor %s of shape %s and type %s does not end with a whole byte",
                        s->path, t->name, mo__shape_show(t->ndim, t->dim).text, t->dtype->name);
    *bytes = bits / 8;
    return MO_OK;
}

static mo_status check_range(const mo__shard *s, const mo__shard_tensor *t)
{
    long long there = (long long)(s->size - PREFIX - s->header_size);
    int64_t bytes = 0;
    MO_TRY(count_bytes(s, t, &bytes));
    if (t->begin < 0 || t->begin > t->end)
        return mo_error(MO_E_CORRUPT, "%s: tensor %s has data_offsets [%lld, %lld]", s->path, t->name,
                        (long long)t->begin, (long long)t->end);
    if (t->end - t->begin != bytes)
        return mo_error(MO_E_CORRUPT,
                        "%s: tensor %s of shape %s and type %s needs %lld bytes, its data_offsets [%lld, "
                        "%lld] give it %lld",
                        s->path, t->name, mo__shape_show(t->ndim, t->dim).text, t->dtype->name,
                        (long long)bytes, (long long)t->begin, (long long)t->end,
                        (long long)(t->end - t->begin));
    if (t->end > there)
        return mo_error(MO_E_CORRUPT,
                        "%s: is cut short: tensor %s ends at byte %lld of the data, of which there are "
                        "%lld",
                        s->path, t->name, (long long)t->end, there);
    return MO_OK;
}

static mo_status bad_entry(const mo__shard *s, const char *name, const char *wanted)
{
    return mo_error(MO_E_FORMAT, "%s: tensor %s has no %s in the header", s->path, name, wanted);
}

static mo_status read_shape(const mo__shard *s, const json_t *entry, mo__shard_tensor *t)
{
    const json_t *shape = json_object_get(entry, "shape");
    if (!json_is_array(shape)) return bad_entry(s, t->name, "\"shape\": [sizes]");
    if (json_array_size(shape) > MO__SHARD_DIMS)
        return mo_error(MO_E_UNSUPPORTED, "%s: tensor %s has %zu dimensions, more than %d", s->path, t->name,
                        json_array_size(shape), MO__SHARD_DIMS);
    for (; (size_t)t->ndim < json_array_size(shape); t->ndim++) {
        const json_t *size = json_array_get(shape, (size_t)t->ndim);
        if (!json_is_integer(size) || json_integer_value(size) < 0)
            return bad_entry(s, t->name, "\"shape\" of whole numbers that are not negative");
        t->dim[t->ndim] = json_integer_value(size);
    }
    return MO_OK;
}

static mo_status read_offsets(const mo__shard *s, const json_t *entry, mo__shard_tensor *t)
{
    const json_t *offsets = json_object_get(entry, "data_offsets");
    const json_t *begin = json_array_get(offsets, 0), *end = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(begin) || !json_is_integer(end))
        return bad_entry(s, t->name, "\"data_offsets\": [begin, end]");
    t->begin = json_integer_value(begin);
    t->end = json_integer_value(end);
    return MO_OK;
}

static mo_status read_entry(const mo__shard *s, const char *name, const json_t *entry, mo__shard_tensor *t)
{
    if (!(t->name = mo_strdup(name))) return MO_E_MEMORY;
    if (!mo__hf_json_plain(name))
        return mo_error(MO_E_FORMAT, "%s: the name of a tensor has control characters", s->path);
    const json_t *dtype = json_object_get(entry, "dtype");
    if (!json_is_string(dtype)) return bad_entry(s, name, "\"dtype\": \"type\"");
    t->dtype = mo__shard_dtype_named(json_string_value(dtype));
    if (!t->dtype)
        return mo_error(MO_E_UNSUPPORTED,
                        "%s: tensor %s has the type \"%s\", which safetensors does not have", s->path, name,
                        mo__hf_json_plain(json_string_value(dtype)) ? json_string_value(dtype) : "?");
    MO_TRY(read_shape(s, entry, t));
    MO_TRY(read_offsets(s, entry, t));
    return check_range(s, t);
}

/* ---- the header ---- */

static mo_status check_metadata(const mo__shard *s, json_t *metadata)
{
    const char *key;
    json_t *value;
    bool good = json_is_object(metadata) || json_is_null(metadata);
    json_object_foreach(metadata, key, value) good = good && json_is_string(value);
    return good ? MO_OK : mo_error(MO_E_FORMAT, "%s: __metadata__ must map texts to texts", s->path);
}

static int by_place(const void *a, const void *b)
{
    const mo__shard_tensor *x = a, *y = b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    if (x->end != y->end) return x->end < y->end ? -1 : 1;
    return strcmp(x->name, y->name);
}

static mo_status check_cover(const mo__shard *s)
{
    int64_t at = 0, data = (int64_t)(s->size - PREFIX - s->header_size);
    for (int64_t i = 0; i < s->n_tensors; i++) {
        const mo__shard_tensor *t = &s->tensors[i];
        if (t->begin < at)
            return mo_error(MO_E_CORRUPT,
                            "%s: tensors %s and %s overlap: the one ends at byte %lld of the data, the "
                            "other begins at %lld",
                            s->path, s->tensors[i - 1].name, t->name, (long long)at, (long long)t->begin);
        if (t->begin > at)
            return mo_error(MO_E_CORRUPT,
                            "%s: bytes %lld to %lld of the data, before tensor %s, belong to no tensor",
                            s->path, (long long)at, (long long)t->begin, t->name);
        at = t->end;
    }
    if (at != data)
        return mo_error(MO_E_CORRUPT, "%s: has %lld bytes of data, of which the header's tensors are %lld",
                        s->path, (long long)data, (long long)at);
    return MO_OK;
}

static mo_status read_tensors(mo__shard *s, json_t *header)
{
    const char *name;
    json_t *entry;
    s->tensors = mo_calloc(json_object_size(header) + 1, sizeof *s->tensors);
    if (!s->tensors) return MO_E_MEMORY;
    json_object_foreach(header, name, entry)
    {
        if (strcmp(name, "__metadata__") == 0)
            MO_TRY(check_metadata(s, entry));
        else
            MO_TRY(read_entry(s, name, entry, &s->tensors[s->n_tensors++]));
    }
    qsort(s->tensors, (size_t)s->n_tensors, sizeof *s->tensors, by_place);
    MO_TRY(check_cover(s));
    for (int64_t i = 0; i < s->n_tensors; i++)
        s->tensors[i].data = s->map + PREFIX + s->header_size + s->tensors[i].begin;
    return MO_OK;
}

static mo_status check_size(mo__shard *s)
{
    uint64_t header = 0;
    for (int i = PREFIX - 1; i >= 0; i--) header = header << 8 | (unsigned char)s->map[i];
    if (memcmp(s->map, "version ", PREFIX) == 0)
        return mo_error(MO_E_FORMAT,
                        "%s: is a pointer of git-lfs in place of the file; fetch it with git lfs pull",
                        s->path);
    if (header > MOST_HEADER)
        return mo_error(MO_E_FORMAT,
                        "%s: is no safetensors file: its header would have %llu bytes, more than %d", s->path,
                        (unsigned long long)header, MOST_HEADER);
    if (header > s->size - PREFIX)
        return mo_error(MO_E_CORRUPT, "%s: is cut short: of its header's %llu bytes there are %zu", s->path,
                        (unsigned long long)header, s->size - PREFIX);
    s->header_size = (size_t)header;
    if (header == 0 || s->map[PREFIX] != '{')
        return mo_error(MO_E_FORMAT, "%s: is no safetensors file: its header does not begin with {", s->path);
    return MO_OK;
}

static mo_status read_header(mo__shard *s)
{
    json_t *header;
    MO_TRY(check_size(s));
    MO_TRY(mo__hf_json_read(s->path, s->map + PREFIX, s->header_size, &header));
    mo_status status = read_tensors(s, header);
    json_decref(header);
    return status;
}

/* ---- the file ---- */

static mo_status map_file(mo__shard *s, int file)
{
    struct stat info;
    if (fstat(file, &info) != 0) return mo__file_error(s->path, "ask for the size");
    if (!S_ISREG(info.st_mode)) return mo_error(MO_E_FORMAT, "%s: is no regular file", s->path);
    if (info.st_size < PREFIX)
        return mo_error(MO_E_CORRUPT,
                        "%s: is cut short: has %lld bytes, fewer than the size of its header takes", s->path,
                        (long long)info.st_size);
    void *map = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_SHARED, file, 0);
    if (map == MAP_FAILED) return mo__file_error(s->path, "map into memory");
    /* Only advice: where the system has huge pages for files, reading ahead takes a third of the time. */
    madvise(map, (size_t)info.st_size, MADV_HUGEPAGE);
    s->map = map;
    s->size = (size_t)info.st_size;
    return MO_OK;
}

mo_status mo__shard_open(const char *path, mo__shard *out)
{
    *out = (mo__shard){.path = mo_strdup(path)};
    if (!out->path) return MO_E_MEMORY;
    const char *slash = strrchr(out->path, '/');
    out->name = slash ? slash + 1 : out->path;
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe has nobody to wait for */
    mo_status status = file < 0 ? mo__file_error(path, "open") : map_file(out, file);
    if (file >= 0) close(file);
    if (status == MO_OK) status = read_header(out);
    if (status != MO_OK) mo__shard_close(out);
    return status;
}

void mo__shard_close(mo__shard *s)
{
    for (int64_t i = 0; i < s->n_tensors; i++) mo_free(s->tensors[i].name);
    mo_free(s->tensors);
    if (s->map) munmap((void *)(uintptr_t)s->map, s->size);
    mo_free(s->path);
    *s = (mo__shard){0};
}
