/* replace.c -- a file is replaced whole or not at all: written beside the target, synced, renamed over it,
 * and the folder synced, so that a kill or a power cut at any instant leaves the old file or the new one. */
#include <moira/base.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"

static void forget(mo_replace *replace)
{
    mo_free(replace->path);
    mo_free(replace->target);
    *replace = (mo_replace){0};
}

/* <folder>/.<name>.tmp.<pid>; NULL when out of memory. */
static char *temporary_path(const char *dir, const char *target)
{
    const char *slash = strrchr(target, '/');
    const char *name = slash ? slash + 1 : target;
    char *hidden = mo_strprintf(".%s.tmp.%ld", name, (long)getpid());
    char *path = hidden ? mo_path_join(dir, hidden) : NULL;
    mo_free(hidden);
    return path;
}

mo_status mo_replace_begin(mo_replace *replace, const char *target)
{
    *replace = (mo_replace){0};
    size_t length = strlen(target);
    struct stat info;
    bool there = stat(target, &info) == 0;
    if (length == 0 || target[length - 1] == '/' || (there && S_ISDIR(info.st_mode)))
        return mo_error(MO_E_EXISTS, "%s: is a folder, a file name is needed here", length ? target : "\"\"");
    /* A rename over /dev/null would take it from the whole system. */
    if (there && !S_ISREG(info.st_mode))
        return mo_error(MO_E_EXISTS, "%s: is not a regular file, and cannot be replaced by one", target);
    char *dir = mo_path_dir(target);
    if (!dir) return MO_E_MEMORY;
    if (!mo_path_is_dir(dir)) {
        mo_error(MO_E_NOT_FOUND, "%s: its folder %s does not exist", target, dir);
        mo_free(dir);
        return MO_E_NOT_FOUND;
    }
    replace->path = temporary_path(dir, target);
    replace->target = mo_strdup(target);
    mo_free(dir);
    if (replace->path && replace->target) return MO_OK;
    forget(replace);
    return MO_E_MEMORY;
}

mo_status mo__replace_error(const mo_replace *replace, mo_status status)
{
    size_t length = strlen(replace->path);
    if (strncmp(mo_last_error(), replace->path, length) != 0)
        return mo_error_context(status, "%s", replace->target);
    return mo_error(status, "%s%s", replace->target, mo_last_error() + length);
}

/* Some file systems cannot sync a folder and say EINVAL; there is nothing more to do on them. */
static mo_status sync_path(const char *path, int flags)
{
    int file = open(path, flags | O_CLOEXEC);
    if (file < 0) return mo__file_error(path, "open");
    mo_status status = MO_OK;
    if (fsync(file) != 0 && !(errno == EINVAL && flags & O_DIRECTORY)) status = mo__file_error(path, "sync");
    close(file);
    return status;
}

static mo_status sync_folder_of(const char *target)
{
    char *dir = mo_path_dir(target);
    if (!dir) return MO_E_MEMORY;
    mo_status status = sync_path(dir, O_RDONLY | O_DIRECTORY);
    mo_free(dir);
    return status;
}

mo_status mo_replace_commit(mo_replace *replace)
{
    mo_status status = sync_path(replace->path, O_RDONLY);
    if (status != MO_OK) mo__replace_error(replace, status);
    if (status == MO_OK && rename(replace->path, replace->target) != 0)
        status = mo__file_error(replace->target, "rename a finished file to it");
    if (status != MO_OK) {
        mo_replace_abort(replace);
        return status;
    }
    status = sync_folder_of(replace->target);
    forget(replace);
    return status;
}

void mo_replace_abort(mo_replace *replace)
{
    if (replace->path) unlink(replace->path);
    forget(replace);
}

/* A rename between two names of one file does nothing, and would leave the temporary one. */
mo_status mo_link_file(const char *existing, const char *target)
{
    mo_replace r;
    struct stat a, b;
    if (stat(existing, &a) == 0 && stat(target, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino)
        return MO_OK;
    MO_TRY(mo_replace_begin(&r, target));
    unlink(r.path);
    if (link(existing, r.path) == 0) return mo_replace_commit(&r);
    mo_status status = mo_error(MO_E_IO, "%s: cannot be linked to %s: %s", target, existing, strerror(errno));
    mo_replace_abort(&r);
    return status;
}

static mo_status write_all(int file, const char *path, const char *bytes, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t wrote = write(file, bytes + done, size - done);
        if (wrote < 0 && errno == EINTR) continue;
        if (wrote < 0) return mo__file_error(path, "write");
        done += (size_t)wrote;
    }
    return MO_OK;
}

mo_status mo_write_file(const char *path, const void *bytes, size_t size)
{
    mo_replace replace;
    MO_TRY(mo_replace_begin(&replace, path));
    mo_status status = MO_OK;
    int file = open(replace.path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (file < 0) {
        status = mo__file_error(path, "create");
    } else {
        status = write_all(file, path, bytes, size);
        if (close(file) != 0 && status == MO_OK) status = mo__file_error(path, "close");
    }
    if (status == MO_OK) return mo_replace_commit(&replace);
    mo_replace_abort(&replace);
    return status;
}
