/* h5.c -- HDF5 files, groups and error texts. */
#include "h5.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "h5_disk.h"
#include "stamp.h"

static pthread_mutex_t one_at_a_time = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;

int mo__h5_lock(void)
{
    int error = pthread_mutex_lock(&one_at_a_time);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    return error;
}

void mo__h5_unlock(const int *unused)
{
    (void)unused;
    pthread_mutex_unlock(&one_at_a_time);
}

/* H5Idec_ref closes an object of any kind at its last reference. */
void mo__h5_release(hid_t *id)
{
    if (*id > 0) H5Idec_ref(*id);
    *id = H5I_INVALID_HID;
}

typedef struct {
    char text[512];
} reason;

/* Walked from the call we made down to the function that found the problem: the last text stays. */
static herr_t keep_innermost(unsigned depth, const H5E_error2_t *error, void *user)
{
    (void)depth;
    reason *r = user;
    if (error->desc) snprintf(r->text, sizeof r->text, "%s", error->desc);
    return 0;
}

mo_status mo__h5_error(mo_status status, const char *format, ...)
{
    reason why = {{0}};
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_DOWNWARD, keep_innermost, &why);
    H5Eclear2(H5E_DEFAULT);
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (!why.text[0]) return mo_error(status, "%s", text);
    return mo_error(status, "%s (HDF5: %s)", text, why.text);
}

/* V110: its metadata carry checksums. Locks are of no use to files that appear whole, and fail on some
 * network file systems. */
static mo_status file_access(hid_t *list)
{
    *list = H5Pcreate(H5P_FILE_ACCESS);
    if (*list < 0 || H5Pset_libver_bounds(*list, H5F_LIBVER_V110, H5F_LIBVER_V110) < 0 ||
        H5Pset_fclose_degree(*list, H5F_CLOSE_STRONG) < 0 || H5Pset_file_locking(*list, false, true) < 0)
        return mo__h5_error(MO_E_MEMORY, "HDF5: cannot set up access to a file");
    return MO_OK;
}

static mo_status create_on(mo__disk *disk, const char *path, hid_t *file)
{
    MO__H5_ID(access);
    MO__H5_ID(create);
    MO_TRY(file_access(&access));
    MO_TRY(mo__disk_use(disk, access));
    create = H5Pcreate(H5P_FILE_CREATE);
    if (create < 0 || H5Pset_userblock(create, MO__STAMP_SIZE) < 0 ||
        H5Pset_obj_track_times(create, false) < 0)
        return mo__h5_error(MO_E_MEMORY, "HDF5: cannot set up a file");
    *file = H5Fcreate(path, H5F_ACC_TRUNC, create, access);
    if (*file < 0) return mo__h5_error(MO_E_IO, "%s: cannot create", path);
    return MO_OK;
}

mo_status mo__h5_create(const char *path, hid_t *file)
{
    /* Made before HDF5 does, for the system's own reason where it cannot be. */
    int made = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (made < 0) return mo__file_error(path, "create");
    close(made);
    mo__disk *disk;
    MO_TRY(mo__disk_create(&disk));
    mo_status status = create_on(disk, path, file);
    if (status != MO_OK) mo__disk_free(disk);
    return status;
}

mo_status mo__h5_open(const char *path, hid_t *file)
{
    MO__H5_ID(access);
    MO_TRY(file_access(&access));
    *file = H5Fopen(path, H5F_ACC_RDONLY, access);
    if (*file < 0) return mo__h5_error(MO_E_CORRUPT, "cannot open as HDF5");
    return MO_OK;
}

mo_status mo__h5_close(hid_t file, mo_status status)
{
    mo__disk *disk = mo__disk_of(file);
    MO_ASSERT(disk);
    bool closed = H5Fclose(file) >= 0;
    if (status == MO_OK) status = mo__disk_status(disk);
    if (status == MO_OK && !closed) status = mo__h5_error(MO_E_IO, "cannot end the file");
    if (closed) mo__disk_free(disk); /* otherwise HDF5 still has it */
    return status;
}

bool mo__h5_has(hid_t parent, const char *name)
{
    return H5Lexists(parent, name, H5P_DEFAULT) > 0;
}

/* Creation order is kept, so that a listing comes in the order of writing. */
mo_status mo__h5_group_create(hid_t parent, const char *name, hid_t *group)
{
    if (mo__h5_has(parent, name)) return mo__h5_group_open(parent, name, group);
    MO__H5_ID(create);
    create = H5Pcreate(H5P_GROUP_CREATE);
    if (create < 0 || H5Pset_link_creation_order(create, H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED) < 0 ||
        H5Pset_obj_track_times(create, false) < 0)
        return mo__h5_error(MO_E_MEMORY, "%s: cannot set up the group", name);
    *group = H5Gcreate2(parent, name, H5P_DEFAULT, create, H5P_DEFAULT);
    if (*group < 0) return mo__h5_error(MO_E_IO, "%s: cannot create the group", name);
    return MO_OK;
}

mo_status mo__h5_group_open(hid_t parent, const char *name, hid_t *group)
{
    H5L_info_t link;
    if (H5Lget_info(parent, name, &link, H5P_DEFAULT) < 0 || link.type != H5L_TYPE_HARD)
        return mo_error(MO_E_FORMAT, "%s: is not in the file, or only as a link elsewhere", name);
    *group = H5Oopen(parent, name, H5P_DEFAULT);
    if (*group < 0) return mo__h5_error(MO_E_CORRUPT, "%s: cannot open", name);
    if (H5Iget_type(*group) == H5I_GROUP) return MO_OK;
    mo__h5_release(group);
    return mo_error(MO_E_FORMAT, "%s: is not a group", name);
}

/* Copies the part of path before the next '/' and returns what is behind it, NULL at the end. */
static const char *next_part(const char *path, char part[64])
{
    size_t length = strcspn(path, "/");
    snprintf(part, 64, "%.*s", (int)length, path);
    return path[length] ? path + length + 1 : NULL;
}

mo_status mo__h5_path_create(hid_t file, const char *path, hid_t *group)
{
    MO__H5_ID(parent);
    char part[64];
    path = next_part(path, part);
    MO_TRY(mo__h5_group_create(file, part, &parent));
    while (path) {
        MO__H5_ID(child);
        path = next_part(path, part);
        MO_TRY(mo__h5_group_create(parent, part, &child));
        mo__h5_release(&parent);
        parent = child;
        child = H5I_INVALID_HID;
    }
    *group = parent;
    parent = H5I_INVALID_HID;
    return MO_OK;
}

mo_status mo__h5_path_open(hid_t file, const char *path, bool *found, hid_t *group)
{
    MO__H5_ID(parent);
    *found = false;
    while (path) {
        MO__H5_ID(child);
        char part[64];
        path = next_part(path, part);
        hid_t from = parent < 0 ? file : parent;
        if (!mo__h5_has(from, part)) return MO_OK;
        MO_TRY(mo__h5_group_open(from, part, &child));
        mo__h5_release(&parent);
        parent = child;
        child = H5I_INVALID_HID;
    }
    *found = true;
    *group = parent;
    parent = H5I_INVALID_HID;
    return MO_OK;
}

typedef struct {
    mo__h5_name_fn fn;
    void *user;
    mo_status status;
} visit;

static herr_t visit_link(hid_t group, const char *name, const H5L_info_t *link, void *user)
{
    (void)group;
    visit *v = user;
    if (link->type != H5L_TYPE_HARD)
        v->status = mo_error(MO_E_FORMAT, "%s: is a link elsewhere, must be in the file", name);
    else
        v->status = v->fn(name, v->user);
    return v->status == MO_OK ? 0 : 1;
}

mo_status mo__h5_each(hid_t group, bool by_name, mo__h5_name_fn fn, void *user)
{
    visit v = {fn, user, MO_OK};
    H5_index_t index = by_name ? H5_INDEX_NAME : H5_INDEX_CRT_ORDER;
    if (H5Literate(group, index, H5_ITER_INC, NULL, visit_link, &v) < 0)
        return mo__h5_error(MO_E_CORRUPT, "cannot list a group");
    return v.status;
}
