/* h5_attribute.c -- attributes: whole numbers, reals, texts (fixed size, UTF-8) and bytes. */
#include "h5.h"

#include <string.h>

enum { ATTRIBUTE_LIMIT = 1 << 28 }; /* most bytes of one that are read */

bool mo__h5_has_attribute(hid_t object, const char *name)
{
    return H5Aexists(object, name) > 0;
}

/* n < 0: a scalar. */
static mo_status put(hid_t object, const char *name, hid_t stored, hid_t memory, int64_t n, const void *data)
{
    MO__H5_ID(space);
    MO__H5_ID(attribute);
    hsize_t dim = (hsize_t)n;
    space = n < 0 ? H5Screate(H5S_SCALAR) : H5Screate_simple(1, &dim, NULL);
    if (space >= 0) attribute = H5Acreate2(object, name, stored, space, H5P_DEFAULT, H5P_DEFAULT);
    if (attribute < 0 || (n != 0 && H5Awrite(attribute, memory, data) < 0))
        return mo__h5_error(MO_E_IO, "attribute %s: cannot write", name);
    return MO_OK;
}

mo_status mo__h5_put_int(hid_t object, const char *name, int64_t value)
{
    return put(object, name, H5T_STD_I64LE, H5T_NATIVE_INT64, -1, &value);
}

mo_status mo__h5_put_real(hid_t object, const char *name, double value)
{
    return put(object, name, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, -1, &value);
}

mo_status mo__h5_put_reals(hid_t object, const char *name, const double *values, int n)
{
    return put(object, name, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, n, values);
}

mo_status mo__h5_put_bytes(hid_t object, const char *name, const void *bytes, size_t size)
{
    return put(object, name, H5T_STD_U8LE, H5T_NATIVE_UINT8, (int64_t)size, bytes);
}

static mo_status text_type(const char *name, size_t size, hid_t *type)
{
    *type = H5Tcopy(H5T_C_S1);
    if (*type < 0 || H5Tset_size(*type, size) < 0 || H5Tset_cset(*type, H5T_CSET_UTF8) < 0 ||
        H5Tset_strpad(*type, H5T_STR_NULLPAD) < 0)
        return mo__h5_error(MO_E_MEMORY, "attribute %s: cannot make its type", name);
    return MO_OK;
}

/* HDF5 has no texts of size 0: "" is one NUL. */
mo_status mo__h5_put_text(hid_t object, const char *name, const char *text)
{
    MO__H5_ID(type);
    size_t size = strlen(text);
    MO_TRY(text_type(name, size ? size : 1, &type));
    return put(object, name, type, type, -1, text);
}

mo_status mo__h5_put_texts(hid_t object, const char *name, const char *const *texts, int n)
{
    size_t size = 1;
    for (int i = 0; i < n; i++)
        if (strlen(texts[i]) > size) size = strlen(texts[i]);
    char *table = mo_calloc((size_t)n, size);
    if (!table) return MO_E_MEMORY;
    for (int i = 0; i < n; i++) memcpy(table + (size_t)i * size, texts[i], strlen(texts[i]));
    MO__H5_ID(type);
    mo_status status = text_type(name, size, &type);
    if (status == MO_OK) status = put(object, name, type, type, n, table);
    mo_free(table);
    return status;
}

typedef struct {
    hid_t attribute, type;
    H5T_class_t class;
    size_t size;   /* of an element */
    int64_t count; /* elements; 1 for a scalar */
} opened;

static void close_attribute(opened *a)
{
    mo__h5_release(&a->type);
    mo__h5_release(&a->attribute);
}

static mo_status inspect(const char *name, opened *a)
{
    MO__H5_ID(space);
    a->type = H5Aget_type(a->attribute);
    space = H5Aget_space(a->attribute);
    a->class = H5Tget_class(a->type);
    a->size = H5Tget_size(a->type);
    hssize_t count = H5Sget_simple_extent_npoints(space);
    if (a->type < 0 || space < 0 || a->size == 0 || count < 0 || count > ATTRIBUTE_LIMIT ||
        a->size > ATTRIBUTE_LIMIT || (uint64_t)count * a->size > ATTRIBUTE_LIMIT ||
        H5Tis_variable_str(a->type) > 0)
        return mo_error(MO_E_FORMAT, "attribute %s: is of a type that is not read here", name);
    a->count = count;
    return MO_OK;
}

static mo_status open_attribute(hid_t object, const char *name, H5T_class_t class, opened *a)
{
    *a = (opened){.attribute = H5I_INVALID_HID, .type = H5I_INVALID_HID};
    if (!mo__h5_has_attribute(object, name)) return mo_error(MO_E_FORMAT, "attribute %s: is missing", name);
    a->attribute = H5Aopen(object, name, H5P_DEFAULT);
    if (a->attribute < 0) return mo__h5_error(MO_E_CORRUPT, "attribute %s: cannot open", name);
    mo_status status = inspect(name, a);
    if (status == MO_OK && a->class != class)
        status = mo_error(MO_E_FORMAT, "attribute %s: is of another type than it must be", name);
    if (status != MO_OK) close_attribute(a);
    return status;
}

/* Between `least` and `most` numbers of a class; how many is told. */
static mo_status get_numbers(hid_t object, const char *name, H5T_class_t class, hid_t memory, int least,
                             int most, void *out, int *n)
{
    opened a;
    MO_TRY(open_attribute(object, name, class, &a));
    mo_status status = MO_OK;
    if (a.count < least || a.count > most)
        status = mo_error(MO_E_FORMAT, "attribute %s: has %lld values, must have %s%d", name,
                          (long long)a.count, least < most ? "at most " : "", most);
    else if (a.count > 0 && H5Aread(a.attribute, memory, out) < 0)
        status = mo__h5_error(MO_E_CORRUPT, "attribute %s: cannot read", name);
    *n = status == MO_OK ? (int)a.count : 0;
    close_attribute(&a);
    return status;
}

mo_status mo__h5_get_int(hid_t object, const char *name, int64_t *value)
{
    int n;
    return get_numbers(object, name, H5T_INTEGER, H5T_NATIVE_INT64, 1, 1, value, &n);
}

mo_status mo__h5_get_real(hid_t object, const char *name, double *value)
{
    int n;
    return get_numbers(object, name, H5T_FLOAT, H5T_NATIVE_DOUBLE, 1, 1, value, &n);
}

mo_status mo__h5_get_reals(hid_t object, const char *name, double *values, int n)
{
    return get_numbers(object, name, H5T_FLOAT, H5T_NATIVE_DOUBLE, n, n, values, &n);
}

mo_status mo__h5_get_reals_upto(hid_t object, const char *name, int limit, double *values, int *n)
{
    return get_numbers(object, name, H5T_FLOAT, H5T_NATIVE_DOUBLE, 0, limit, values, n);
}

/* The raw bytes of all elements, one NUL behind them. */
static mo_status get_raw(const char *name, const opened *a, char **out)
{
    size_t size = (size_t)a->count * a->size;
    char *raw = mo_malloc(size + 1);
    if (!raw) return MO_E_MEMORY;
    if (size && H5Aread(a->attribute, a->type, raw) < 0) {
        mo_free(raw);
        return mo__h5_error(MO_E_CORRUPT, "attribute %s: cannot read", name);
    }
    raw[size] = '\0';
    *out = raw;
    return MO_OK;
}

mo_status mo__h5_get_text(hid_t object, const char *name, char **text)
{
    *text = NULL;
    opened a;
    MO_TRY(open_attribute(object, name, H5T_STRING, &a));
    mo_status status = MO_OK;
    if (a.count != 1)
        status =
            mo_error(MO_E_FORMAT, "attribute %s: has %lld texts, must have one", name, (long long)a.count);
    else
        status = get_raw(name, &a, text);
    close_attribute(&a);
    return status;
}

mo_status mo__h5_get_bytes(hid_t object, const char *name, char **bytes, size_t *size)
{
    *bytes = NULL;
    opened a;
    MO_TRY(open_attribute(object, name, H5T_INTEGER, &a));
    mo_status status = MO_OK;
    if (a.size != 1) status = mo_error(MO_E_FORMAT, "attribute %s: is not of bytes", name);
    if (status == MO_OK) status = get_raw(name, &a, bytes);
    *size = (size_t)a.count;
    close_attribute(&a);
    return status;
}

void mo__h5_free_texts(char **texts, int n)
{
    for (int i = 0; texts && i < n; i++) mo_free(texts[i]);
    mo_free(texts);
}

static mo_status cut_table(const char *table, size_t size, int n, char ***out)
{
    char **texts = mo_calloc((size_t)n, sizeof *texts);
    if (!texts) return MO_E_MEMORY;
    for (int i = 0; i < n; i++) {
        texts[i] = mo_strprintf("%.*s", (int)size, table + (size_t)i * size);
        if (texts[i]) continue;
        mo__h5_free_texts(texts, i);
        return MO_E_MEMORY;
    }
    *out = texts;
    return MO_OK;
}

mo_status mo__h5_get_texts(hid_t object, const char *name, int limit, char ***texts, int *n)
{
    *texts = NULL;
    *n = 0;
    opened a;
    MO_TRY(open_attribute(object, name, H5T_STRING, &a));
    char *table = NULL;
    mo_status status = MO_OK;
    if (a.count > limit)
        status = mo_error(MO_E_FORMAT, "attribute %s: has %lld texts, at most %d are read", name,
                          (long long)a.count, limit);
    if (status == MO_OK) status = get_raw(name, &a, &table);
    if (status == MO_OK) status = cut_table(table, a.size, (int)a.count, texts);
    if (status == MO_OK) *n = (int)a.count;
    mo_free(table);
    close_attribute(&a);
    return status;
}
