/* h5_dataset.c -- chunked datasets: creation, and reading only what is plainly stored. */
#include "h5.h"

#include <string.h>

/* A file may claim any shape; its own bytes bound what it can hold. Deflate packs at most 1032 to 1. */
enum { DEFLATE_MOST = 1100, CHUNK_LIMIT = 1 << 26 };

/* room: elements that the chunk may still multiply by; 1 once a dim was cut, so that earlier ones have 1. */
void mo__h5_choose_chunk(mo__h5_shape *shape, size_t width)
{
    hsize_t room = MO__H5_CHUNK / width;
    for (int i = shape->ndim - 1; i >= 0; i--) {
        hsize_t dim = shape->dim[i], parts = (dim + room - 1) / room;
        shape->chunk[i] = (dim + parts - 1) / parts;
        room = parts == 1 ? room / dim : 1;
    }
}

mo_status mo__h5_dataset_create(hid_t group, const char *name, hid_t type, const mo__h5_shape *shape,
                                int level, bool growing, hid_t *dataset)
{
    MO__H5_ID(list);
    MO__H5_ID(space);
    hsize_t most[4];
    memcpy(most, shape->dim, sizeof most);
    if (growing) most[0] = H5S_UNLIMITED;
    space = H5Screate_simple(shape->ndim, shape->dim, most);
    list = H5Pcreate(H5P_DATASET_CREATE);
    if (space < 0 || list < 0 || H5Pset_chunk(list, shape->ndim, shape->chunk) < 0 ||
        (level > 0 && H5Pset_shuffle(list) < 0) || (level > 0 && H5Pset_deflate(list, (unsigned)level) < 0) ||
        H5Pset_fletcher32(list) < 0 || H5Pset_obj_track_times(list, false) < 0)
        return mo__h5_error(MO_E_MEMORY, "%s: cannot set up the dataset", name);
    *dataset = H5Dcreate2(group, name, type, space, H5P_DEFAULT, list, H5P_DEFAULT);
    if (*dataset < 0) return mo__h5_error(MO_E_IO, "%s: cannot create the dataset", name);
    return MO_OK;
}

static mo_status check_type(const char *name, mo__h5_dataset *d)
{
    MO__H5_ID(type);
    type = H5Dget_type(d->id);
    d->type = H5Tget_class(type);
    d->width = H5Tget_size(type);
    d->is_signed = d->type == H5T_INTEGER && H5Tget_sign(type) == H5T_SGN_2;
    if (d->type != H5T_INTEGER && d->type != H5T_FLOAT)
        return mo_error(MO_E_FORMAT, "%s: holds neither integers nor reals", name);
    if (d->width == 0 || d->width > 8)
        return mo_error(MO_E_FORMAT, "%s: has elements of %zu bytes, at most 8 are read", name, d->width);
    return MO_OK;
}

/* Only filters that we write ourselves, each in its own right place. */
static mo_status check_filters(const char *name, hid_t list)
{
    int n = H5Pget_nfilters(list);
    for (int i = 0; i < n; i++) {
        unsigned flags, config;
        size_t values = 0;
        H5Z_filter_t filter = H5Pget_filter2(list, (unsigned)i, &flags, &values, NULL, 0, NULL, &config);
        if (filter != H5Z_FILTER_SHUFFLE && filter != H5Z_FILTER_DEFLATE && filter != H5Z_FILTER_FLETCHER32)
            return mo_error(MO_E_FORMAT,
                            "%s: is packed by filter %d, only shuffle, deflate and fletcher32 are read", name,
                            (int)filter);
    }
    return MO_OK;
}

static mo_status check_layout(const char *name, mo__h5_dataset *d)
{
    MO__H5_ID(list);
    list = H5Dget_create_plist(d->id);
    H5D_layout_t layout = list < 0 ? H5D_LAYOUT_ERROR : H5Pget_layout(list);
    if ((layout != H5D_CHUNKED && layout != H5D_CONTIGUOUS && layout != H5D_COMPACT) ||
        H5Pget_external_count(list) != 0)
        return mo_error(MO_E_FORMAT, "%s: is not stored in the file itself", name);
    if (layout != H5D_CHUNKED) return MO_OK;
    if (H5Pget_chunk(list, d->shape.ndim, d->shape.chunk) != d->shape.ndim)
        return mo__h5_error(MO_E_CORRUPT, "%s: cannot tell its chunks", name);
    uint64_t bytes = d->width;
    for (int i = 0; i < d->shape.ndim; i++) {
        if (d->shape.chunk[i] > CHUNK_LIMIT || (bytes *= d->shape.chunk[i]) > CHUNK_LIMIT)
            return mo_error(MO_E_FORMAT, "%s: has chunks of more than %d bytes", name, (int)CHUNK_LIMIT);
    }
    return check_filters(name, list);
}

static mo_status check_shape(const char *name, mo__h5_dataset *d)
{
    MO__H5_ID(space);
    space = H5Dget_space(d->id);
    int ndim = H5Sget_simple_extent_ndims(space);
    if (ndim < 1 || ndim > 4)
        return mo_error(MO_E_FORMAT, "%s: has %d dimensions, must have 1 to 4", name, ndim);
    d->shape.ndim = ndim;
    H5Sget_simple_extent_dims(space, d->shape.dim, NULL);
    MO__H5_ID(file);
    hsize_t file_size = 0;
    file = H5Iget_file_id(d->id);
    H5Fget_filesize(file, &file_size);
    uint64_t count = 1, bytes;
    bool fits = true;
    for (int i = 0; i < ndim; i++) fits = fits && !__builtin_mul_overflow(count, d->shape.dim[i], &count);
    fits = fits && !__builtin_mul_overflow(count, d->width, &bytes) && bytes / DEFLATE_MOST <= file_size;
    if (!fits) return mo_error(MO_E_CORRUPT, "%s: claims more data than the file can hold", name);
    d->count = (int64_t)count;
    return MO_OK;
}

mo_status mo__h5_dataset_open(hid_t group, const char *name, mo__h5_dataset *out)
{
    *out = (mo__h5_dataset){.id = H5I_INVALID_HID};
    H5L_info_t link;
    if (H5Lget_info(group, name, &link, H5P_DEFAULT) < 0 || link.type != H5L_TYPE_HARD)
        return mo_error(MO_E_FORMAT, "%s: is not in the file, or only as a link elsewhere", name);
    MO__H5_ID(object);
    object = H5Oopen(group, name, H5P_DEFAULT);
    if (object < 0) return mo__h5_error(MO_E_CORRUPT, "%s: cannot open", name);
    if (H5Iget_type(object) != H5I_DATASET) return mo_error(MO_E_FORMAT, "%s: is not a dataset", name);
    mo__h5_dataset d = {.id = object};
    MO_TRY(check_type(name, &d));
    MO_TRY(check_shape(name, &d));
    MO_TRY(check_layout(name, &d));
    *out = d;
    object = H5I_INVALID_HID;
    return MO_OK;
}

void mo__h5_dataset_close(mo__h5_dataset *dataset)
{
    mo__h5_release(&dataset->id);
}

mo_status mo__h5_dataset_read(const mo__h5_dataset *dataset, const char *name, hid_t memory_type, void *out)
{
    if (dataset->count == 0) return MO_OK;
    if (H5Dread(dataset->id, memory_type, H5S_ALL, H5S_ALL, H5P_DEFAULT, out) < 0)
        return mo__h5_error(MO_E_CORRUPT, "%s: cannot read", name);
    return MO_OK;
}

mo_status mo__h5_dataset_read_box(const mo__h5_dataset *d, const char *name, hid_t type, const hsize_t *start,
                                  const hsize_t *size, void *out)
{
    MO__H5_ID(file_space);
    MO__H5_ID(memory_space);
    hsize_t count[4];
    for (int i = 0; i < d->shape.ndim; i++) {
        hsize_t left = d->shape.dim[i] - start[i];
        count[i] = left < size[i] ? left : size[i];
    }
    file_space = H5Dget_space(d->id);
    memory_space = H5Screate_simple(d->shape.ndim, count, NULL);
    if (file_space < 0 || memory_space < 0 ||
        H5Sselect_hyperslab(file_space, H5S_SELECT_SET, start, NULL, count, NULL) < 0 ||
        H5Dread(d->id, type, memory_space, file_space, H5P_DEFAULT, out) < 0)
        return mo__h5_error(MO_E_CORRUPT, "%s: cannot read", name);
    return MO_OK;
}

bool mo__h5_next_box(const mo__h5_shape *shape, const hsize_t *size, hsize_t *at)
{
    for (int i = shape->ndim - 1; i >= 0; i--) {
        at[i] += size[i];
        if (at[i] < shape->dim[i]) return true;
        at[i] = 0;
    }
    return false;
}

mo_status mo__h5_dataset_verify(const mo__h5_dataset *dataset, const char *name)
{
    if (dataset->count == 0) return MO_OK;
    mo__h5_shape boxes = dataset->shape;
    if (boxes.chunk[0] == 0) mo__h5_choose_chunk(&boxes, dataset->width);
    size_t bytes = dataset->width;
    for (int i = 0; i < boxes.ndim; i++) bytes *= boxes.chunk[i];
    MO__H5_ID(type);
    type = H5Dget_type(dataset->id);
    void *box = mo_malloc(bytes);
    if (!box) return MO_E_MEMORY;
    hsize_t at[4] = {0};
    mo_status status;
    do status = mo__h5_dataset_read_box(dataset, name, type, at, boxes.chunk, box);
    while (status == MO_OK && mo__h5_next_box(&boxes, boxes.chunk, at));
    mo_free(box);
    return status;
}
