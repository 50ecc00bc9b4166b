/* checkpoint_values.c -- 16-bit numbers as the checkpoint has them, and every type as mo_real. */
#include "checkpoint_values.h"

#include <string.h>

#define DTYPE "dtype"

static hid_t real_type(void)
{
    return sizeof(mo_real) == 4 ? H5T_NATIVE_FLOAT : H5T_NATIVE_DOUBLE;
}

hid_t mo__values_type(mo_dtype dtype)
{
    if (mo__values_are_halves(dtype)) return H5T_STD_U16LE;
    return mo_dtype_size(dtype) == 4 ? H5T_IEEE_F32LE : H5T_IEEE_F64LE;
}

mo_status mo__values_mark(hid_t dataset, mo_dtype dtype)
{
    return mo__values_are_halves(dtype) ? mo__h5_put_text(dataset, DTYPE, mo_dtype_name(dtype)) : MO_OK;
}

static mo_status halves_dtype(const mo__h5_dataset *d, const char *name, mo_dtype *out)
{
    char *text = NULL;
    mo_status status = mo__h5_get_text(d->id, DTYPE, &text);
    if (status != MO_OK) return mo_error_context(status, "%s", name);
    *out = strcmp(text, mo_dtype_name(MO_F16)) == 0 ? MO_F16 : MO_BF16;
    if (strcmp(text, mo_dtype_name(*out)) != 0)
        status = mo_error(
            MO_E_FORMAT, "%s: attribute dtype is \"%.40s\", must be \"bfloat16\" or \"float16\"", name, text);
    mo_free(text);
    return status;
}

mo_status mo__values_dtype(const mo__h5_dataset *d, const char *name, mo_dtype *out)
{
    if (d->type == H5T_INTEGER && d->width == 2 && !d->is_signed) return halves_dtype(d, name, out);
    if (d->type != H5T_FLOAT || (d->width != 4 && d->width != 8))
        return mo_error(MO_E_FORMAT, "%s: holds neither float32, float64 nor 16-bit reals", name);
    *out = d->width == 4 ? MO_F32 : MO_F64;
    return MO_OK;
}

/* ---- reading ---- */

/* What is read, and the boxes that it is read in, each one run of the result. */
typedef struct region {
    hsize_t from;       /* first index of the first dimension */
    mo__h5_shape boxes; /* dim: of the region; chunk: of a box */
    int64_t count;      /* elements of the region */
} region;

static region region_of(const mo__h5_dataset *d, int64_t part)
{
    region r = {.from = part < 0 ? 0 : (hsize_t)part, .boxes = d->shape, .count = 1};
    if (part >= 0) r.boxes.dim[0] = 1;
    for (int i = 0; i < r.boxes.ndim; i++) r.count *= (int64_t)r.boxes.dim[i];
    mo__h5_choose_chunk(&r.boxes, d->width);
    return r;
}

static mo_status read_reals(const mo__h5_dataset *d, const char *name, const region *r, mo_real *out)
{
    hsize_t start[4] = {r->from};
    return mo__h5_dataset_read_box(d, name, real_type(), start, r->boxes.dim, out);
}

/* Boxes come in the order of the array and each is one run of it. */
static mo_status read_halves(const mo__h5_dataset *d, const char *name, const region *r, mo_dtype dtype,
                             mo_real *out)
{
    uint16_t *bits = mo_malloc(MO__H5_CHUNK);
    if (!bits) return MO_E_MEMORY;
    hsize_t at[4] = {0};
    mo_status status = MO_OK;
    for (int64_t done = 0; status == MO_OK && done < r->count;) {
        hsize_t start[4], size[4];
        int64_t n = 1;
        for (int i = 0; i < r->boxes.ndim; i++) {
            hsize_t left = r->boxes.dim[i] - at[i];
            size[i] = left < r->boxes.chunk[i] ? left : r->boxes.chunk[i];
            start[i] = at[i] + (i == 0 ? r->from : 0);
            n *= (int64_t)size[i];
        }
        status = mo__h5_dataset_read_box(d, name, H5T_NATIVE_UINT16, start, size, bits);
        const void *whole = bits;
        const mo_stored stored = {.dtype = dtype, .parts = 1, .part_elements = n, .part = &whole};
        if (status == MO_OK) mo_stored_expand(&stored, 0, 0, n, out + done);
        done += n;
        mo__h5_next_box(&r->boxes, r->boxes.chunk, at);
    }
    mo_free(bits);
    return status;
}

mo_status mo__values_read(const mo__h5_dataset *d, const char *name, int64_t part, mo_real *out)
{
    mo_dtype dtype;
    MO_TRY(mo__values_dtype(d, name, &dtype));
    if (d->count == 0) return MO_OK;
    region r = region_of(d, part);
    return mo__values_are_halves(dtype) ? read_halves(d, name, &r, dtype, out) : read_reals(d, name, &r, out);
}
