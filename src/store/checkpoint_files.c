/* checkpoint_files.c -- /files of a checkpoint: written, and read back within bounds. */
#include "checkpoint_files.h"

#include <string.h>

enum { LONGEST_NAME = 255 };

/* A name is what a file may be called in any folder, and nothing that leads out of it. */
static mo_status check_name(mo_status status, const char *name)
{
    size_t length = strlen(name);
    bool plain = length > 0 && length <= LONGEST_NAME && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
    for (size_t i = 0; plain && i < length; i++)
        plain = name[i] != '/' && (unsigned char)name[i] >= 32 && name[i] != 127;
    if (plain) return MO_OK;
    return mo_error(status, "files: '%.60s' is no name of a file: 1 to %d bytes without '/', not . or ..",
                    name, LONGEST_NAME);
}

static mo_status check_size(mo_status status, const char *name, uint64_t size)
{
    if (size <= MO_CHECKPOINT_FILE_BYTES) return MO_OK;
    return mo_error(status, "files/%s: has %llu bytes, at most %d go with a checkpoint", name,
                    (unsigned long long)size, (int)MO_CHECKPOINT_FILE_BYTES);
}

static mo_status check_count(mo_status status, int64_t count)
{
    if (count >= 0 && count <= MO_CHECKPOINT_FILES) return MO_OK;
    return mo_error(status, "files: are %lld, at most %d go with a checkpoint", (long long)count,
                    (int)MO_CHECKPOINT_FILES);
}

mo_status mo__files_check(const mo_checkpoint_file *files, int count)
{
    MO_TRY(check_count(MO_E_RANGE, count));
    for (int i = 0; i < count; i++) {
        MO_TRY(check_name(MO_E_RANGE, files[i].name));
        MO_TRY(check_size(MO_E_RANGE, files[i].name, files[i].size));
        for (int j = 0; j < i; j++)
            if (!strcmp(files[i].name, files[j].name))
                return mo_error(MO_E_RANGE, "files/%s: is given twice", files[i].name);
    }
    return MO_OK;
}

/* ---- writing ---- */

/* Chunks must not be larger than the whole, so what is empty has none. */
static mo_status create_empty(hid_t group, const char *name, hid_t *dataset)
{
    MO__H5_ID(space);
    MO__H5_ID(list);
    hsize_t none = 0;
    space = H5Screate_simple(1, &none, NULL);
    list = H5Pcreate(H5P_DATASET_CREATE);
    if (space >= 0 && list >= 0 && H5Pset_obj_track_times(list, false) >= 0)
        *dataset = H5Dcreate2(group, name, H5T_STD_U8LE, space, H5P_DEFAULT, list, H5P_DEFAULT);
    return *dataset >= 0 ? MO_OK : mo__h5_error(MO_E_IO, "%s: cannot create the dataset", name);
}

static mo_status write_file(hid_t group, const mo_checkpoint_file *f, int compression)
{
    MO__H5_ID(dataset);
    if (f->size == 0) return create_empty(group, f->name, &dataset);
    mo__h5_shape shape = {.ndim = 1, .dim = {f->size}};
    mo__h5_choose_chunk(&shape, 1);
    MO_TRY(mo__h5_dataset_create(group, f->name, H5T_STD_U8LE, &shape, compression, false, &dataset));
    if (H5Dwrite(dataset, H5T_NATIVE_UINT8, H5S_ALL, H5S_ALL, H5P_DEFAULT, f->bytes) < 0)
        return mo__h5_error(MO_E_IO, "files/%s: cannot write", f->name);
    return MO_OK;
}

mo_status mo__files_write(hid_t file, const mo_checkpoint_file *files, int count, int compression)
{
    MO__H5_ID(group);
    if (count == 0) return MO_OK;
    MO_TRY(mo__h5_group_create(file, "files", &group));
    for (int i = 0; i < count; i++) MO_TRY(write_file(group, &files[i], compression));
    return MO_OK;
}

/* ---- reading ---- */

void mo__files_free(mo_checkpoint_file *files, int count)
{
    for (int i = 0; i < count; i++) {
        mo_free((char *)(uintptr_t)files[i].name);
        mo_free((void *)(uintptr_t)files[i].bytes);
    }
    mo_free(files);
}

typedef struct reader {
    hid_t group;
    mo_checkpoint_file *files;
    int count, room;
} reader;

static mo_status read_bytes(const mo__h5_dataset *d, const char *name, void **out)
{
    if (d->type != H5T_INTEGER || d->width != 1 || d->shape.ndim != 1)
        return mo_error(MO_E_FORMAT, "files/%s: is not a row of bytes", name);
    MO_TRY(check_size(MO_E_FORMAT, name, (uint64_t)d->count));
    *out = mo_malloc(d->count ? (size_t)d->count : 1);
    return *out ? mo__h5_dataset_read(d, name, H5T_NATIVE_UINT8, *out) : MO_E_MEMORY;
}

static mo_status read_file(const char *name, void *user)
{
    reader *r = user;
    MO_TRY(check_name(MO_E_FORMAT, name));
    if (r->count == r->room) return mo_error(MO_E_CORRUPT, "files: are more than the group says");
    mo__h5_dataset dataset;
    MO_TRY(mo__h5_dataset_open(r->group, name, &dataset));
    void *bytes = NULL;
    mo_status status = read_bytes(&dataset, name, &bytes);
    r->files[r->count++] =
        (mo_checkpoint_file){.name = mo_strdup(name), .bytes = bytes, .size = (size_t)dataset.count};
    mo__h5_dataset_close(&dataset);
    return status == MO_OK && !r->files[r->count - 1].name ? MO_E_MEMORY : status;
}

mo_status mo__files_read(hid_t file, mo_checkpoint_file **files, int *count)
{
    MO__H5_ID(group);
    bool found;
    H5G_info_t info;
    *files = NULL;
    *count = 0;
    MO_TRY(mo__h5_path_open(file, "files", &found, &group));
    if (!found) return MO_OK;
    if (H5Gget_info(group, &info) < 0) return mo__h5_error(MO_E_CORRUPT, "files: cannot look at the group");
    MO_TRY(check_count(MO_E_FORMAT, (int64_t)(info.nlinks <= INT32_MAX ? info.nlinks : INT32_MAX)));
    reader r = {.group = group, .room = (int)info.nlinks};
    r.files = mo_calloc((size_t)r.room + 1, sizeof *r.files);
    mo_status status = r.files ? mo__h5_each(group, false, read_file, &r) : MO_E_MEMORY;
    if (status != MO_OK) {
        mo__files_free(r.files, r.count);
        return status;
    }
    *files = r.files;
    *count = r.count;
    return MO_OK;
}
