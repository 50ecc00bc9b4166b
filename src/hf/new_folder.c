/* new_folder.c -- a folder under a temporary name, renamed when it is whole. */
#include "hf/new_folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

static bool is_dot(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static mo_status check_target(const char *target)
{
    struct stat info;
    if (lstat(target, &info) != 0) return MO_OK;
    DIR *folder = S_ISDIR(info.st_mode) ? opendir(target) : NULL;
    if (!folder)
        return mo_error(MO_E_EXISTS, "%s: is there already, and is no folder that could be filled", target);
    bool empty = true;
    for (struct dirent *entry; (entry = readdir(folder));) empty = empty && is_dot(entry->d_name);
    closedir(folder);
    return empty ? MO_OK
                 : mo_error(MO_E_EXISTS, "%s: is a folder with files in it; name a new one, or an empty one",
                            target);
}

/* <folder>/.<name>.tmp.<pid> */
static char *temporary_path(const char *target)
{
    const char *slash = strrchr(target, '/');
    char *dir = mo_path_dir(target),
         *hidden = mo_strprintf(".%s.tmp.%ld", slash ? slash + 1 : target, (long)getpid());
    char *path = dir && hidden ? mo_path_join(dir, hidden) : NULL;
    mo_free(dir);
    mo_free(hidden);
    return path;
}

/* A link that somebody put there is not followed. */
static void remove_all(const char *path)
{
    int file = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *folder = file < 0 ? NULL : fdopendir(file);
    if (file >= 0 && !folder) close(file);
    for (struct dirent *entry; folder && (entry = readdir(folder));)
        if (!is_dot(entry->d_name)) unlinkat(dirfd(folder), entry->d_name, 0);
    if (folder) closedir(folder);
    rmdir(path);
}

static mo_status make(mo__new_folder *f)
{
    MO_TRY(check_target(f->target));
    char *dir = mo_path_dir(f->target);
    if (!dir) return MO_E_MEMORY;
    mo_status status = MO_OK;
    if (!mo_path_is_dir(dir))
        status = mo_error(MO_E_NOT_FOUND, "%s: its folder %s does not exist", f->target, dir);
    mo_free(dir);
    MO_TRY(status);
    remove_all(f->path); /* what a killed process of this number left */
    return mkdir(f->path, 0777) == 0 ? MO_OK : mo__file_error(f->target, "make the folder");
}

static void forget(mo__new_folder *f)
{
    mo_free(f->path);
    mo_free(f->target);
    *f = (mo__new_folder){0};
}

mo_status mo__new_folder_begin(const char *target, mo__new_folder *out)
{
    *out = (mo__new_folder){.target = mo_strdup(target)};
    if (!out->target) return MO_E_MEMORY;
    for (size_t n = strlen(out->target); n > 1 && out->target[n - 1] == '/'; n--) out->target[n - 1] = '\0';
    mo_status status = *target ? MO_OK : mo_error(MO_E_NOT_FOUND, "\"\": is not the name of a folder");
    if (status == MO_OK) status = (out->path = temporary_path(out->target)) ? make(out) : MO_E_MEMORY;
    if (status != MO_OK) forget(out);
    return status;
}

static mo_status sync_folder(const char *path)
{
    int file = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (file < 0) return mo__file_error(path, "open");
    mo_status status = MO_OK;
    if (fsync(file) != 0 && errno != EINVAL)
        status = mo__file_error(path, "sync"); /* EINVAL: it has no such thing */
    close(file);
    return status;
}

/* A message about a file in the temporary folder is about that in the target. */
static mo_status name_target(const mo__new_folder *f, mo_status status)
{
    size_t length = strlen(f->path);
    if (strncmp(mo_last_error(), f->path, length) != 0) return status;
    return mo_error(status, "%s%s", f->target, mo_last_error() + length);
}

mo_status mo__new_folder_end(mo__new_folder *f, mo_status status)
{
    if (status != MO_OK) name_target(f, status);
    char *dir = mo_path_dir(f->target);
    if (status == MO_OK && !dir) status = MO_E_MEMORY;
    if (status == MO_OK) status = sync_folder(f->path);
    if (status == MO_OK && rename(f->path, f->target) != 0)
        status = mo__file_error(f->target, "rename the finished folder to it");
    if (status == MO_OK)
        status = sync_folder(dir);
    else
        remove_all(f->path);
    mo_free(dir);
    forget(f);
    return status;
}
