/* h5.h -- HDF5 as checkpoints and token files use it. The only file that includes hdf5.h.
 *
 * Every function returns a status; the message ends in HDF5's own reason, and the caller puts the file's path
 * in front (mo_error_context). Ids of type hid_t are owned: declare them MO__H5_ID(name), which releases them
 * at the end of the scope, or close them.
 *
 *     MO__H5_ID(group);
 *     MO_TRY(mo__h5_group_open(file, "model", &group));
 *
 * What is read must be plain: hard links, groups, and datasets stored in the file itself with no filter but
 * shuffle, deflate and fletcher32; anything else is refused before HDF5 acts on it. */
#ifndef MOIRA_STORE_H5_H
#define MOIRA_STORE_H5_H

#include <hdf5.h>

#include <moira/base.h>

#define MO__CREATED_BY "moira " MO_VERSION_STRING

enum { MO__H5_CHUNK = 1 << 20 }; /* most bytes in a chunk that we write */

/* ---- one thread at a time ----
 *
 * HDF5 need not be built with locks of its own (Debian's is, H5is_library_threadsafe tells). So whoever calls
 * it, or a function of this header, holds the one lock of the process: the public functions of checkpoint.h
 * and tokenfile.h take it where they reach HDF5, and hold it no longer than that; hashing, packing and
 * syncing go on without it. It may be taken again by its holder. Taking it also turns off HDF5's own printing
 * of errors, which is a matter of each thread.
 *
 *     MO__H5_LOCK();      until the end of the scope */
int mo__h5_lock(void);
void mo__h5_unlock(const int *unused);
#define MO__H5_LOCK() __attribute__((cleanup(mo__h5_unlock), unused)) const int mo__h5_locked = mo__h5_lock()

void mo__h5_release(hid_t *id);
#define MO__H5_ID(name) __attribute__((cleanup(mo__h5_release))) hid_t name = H5I_INVALID_HID

/* mo_error with HDF5's innermost reason behind the message. Call it right after the call that failed. */
mo_status mo__h5_error(mo_status status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- files and groups (h5.c) ---- */

/* A new file with a user block of 512 bytes, in the format of HDF5 1.10 and without times, so that the same
 * content gives the same bytes. Closing the file closes all that is open in it. */
mo_status mo__h5_create(const char *path, hid_t *file);
mo_status mo__h5_open(const char *path, hid_t *file);
/* Closes a file that mo__h5_create made and that was written with `status` so far; the first status that was
 * not MO_OK. A disk that refused to take what was written is told here, as MO_E_IO. */
mo_status mo__h5_close(hid_t file, mo_status status);

bool mo__h5_has(hid_t parent, const char *name);
mo_status mo__h5_group_create(hid_t parent, const char *name,
                              hid_t *group);                               /* or opens it; name has no '/' */
mo_status mo__h5_group_open(hid_t parent, const char *name, hid_t *group); /* hard link to a group */
/* path "a/b/c", each part created or opened. */
mo_status mo__h5_path_create(hid_t file, const char *path, hid_t *group);
/* *found = false, MO_OK and no group if a part is not there. */
mo_status mo__h5_path_open(hid_t file, const char *path, bool *found, hid_t *group);
/* Calls fn for the name of each link, by name or in the order of creation; stops at a status not MO_OK. */
typedef mo_status (*mo__h5_name_fn)(const char *name, void *user);
mo_status mo__h5_each(hid_t group, bool by_name, mo__h5_name_fn fn, void *user);

/* ---- attributes (h5_attribute.c); reading says MO_E_FORMAT if one is absent or of another type ---- */

bool mo__h5_has_attribute(hid_t object, const char *name);
mo_status mo__h5_put_int(hid_t object, const char *name, int64_t value);
mo_status mo__h5_put_real(hid_t object, const char *name, double value);
mo_status mo__h5_put_reals(hid_t object, const char *name, const double *values, int n);
mo_status mo__h5_put_text(hid_t object, const char *name, const char *text);
mo_status mo__h5_put_texts(hid_t object, const char *name, const char *const *texts, int n);
mo_status mo__h5_put_bytes(hid_t object, const char *name, const void *bytes, size_t size);
mo_status mo__h5_get_int(hid_t object, const char *name, int64_t *value);
mo_status mo__h5_get_real(hid_t object, const char *name, double *value);
mo_status mo__h5_get_reals(hid_t object, const char *name, double *values, int n);
/* At most `limit` values, *n of them. */
mo_status mo__h5_get_reals_upto(hid_t object, const char *name, int limit, double *values, int *n);
mo_status mo__h5_get_text(hid_t object, const char *name, char **text); /* owned */
/* An owned array of *n owned texts, at most `limit` of them. */
mo_status mo__h5_get_texts(hid_t object, const char *name, int limit, char ***texts, int *n);
mo_status mo__h5_get_bytes(hid_t object, const char *name, char **bytes, size_t *size); /* owned */
void mo__h5_free_texts(char **texts, int n);

/* ---- datasets (h5_dataset.c) ---- */

typedef struct mo__h5_shape {
    int ndim;
    hsize_t dim[4], chunk[4];
} mo__h5_shape;

/* chunk of a dataset of `width`-byte elements: trailing dims whole, as much as fits in MO__H5_CHUNK. A chunk
 * is then one run of the row-major array, and edge chunks waste little. */
void mo__h5_choose_chunk(mo__h5_shape *shape, size_t width);
/* Chunked, shuffle + deflate(level) (no filter for level 0) + fletcher32. growing: the first dim may grow. */
mo_status mo__h5_dataset_create(hid_t group, const char *name, hid_t type, const mo__h5_shape *shape,
                                int level, bool growing, hid_t *dataset);

typedef struct mo__h5_dataset {
    hid_t id;
    H5T_class_t type; /* H5T_INTEGER or H5T_FLOAT */
    size_t width;
    bool is_signed;
    mo__h5_shape shape; /* chunk[0] is 0 where the dataset is not chunked */
    int64_t count;      /* elements */
} mo__h5_dataset;
/* Opens and checks. `id` is released by mo__h5_dataset_close, which is harmless on {0}. */
mo_status mo__h5_dataset_open(hid_t group, const char *name, mo__h5_dataset *out);
void mo__h5_dataset_close(mo__h5_dataset *dataset);
/* All elements as `memory_type` into out. MO_E_CORRUPT if a chunk is damaged. */
mo_status mo__h5_dataset_read(const mo__h5_dataset *dataset, const char *name, hid_t memory_type, void *out);
/* The box of at most `size` at `start`, whatever of it lies within the shape. */
mo_status mo__h5_dataset_read_box(const mo__h5_dataset *d, const char *name, hid_t type, const hsize_t *start,
                                  const hsize_t *size, void *out);
/* Steps `at`, a box's first element, to the next box in row-major order; false behind the last. */
bool mo__h5_next_box(const mo__h5_shape *shape, const hsize_t *size, hsize_t *at);
/* Reads every chunk and forgets it; memory for one chunk. */
mo_status mo__h5_dataset_verify(const mo__h5_dataset *dataset, const char *name);

#endif
