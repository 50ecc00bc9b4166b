/* path.c -- questions about paths, folders, whole small files. */
#include <moira/base.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"

mo_status mo__file_error(const char *path, const char *verb)
{
    int error = errno;
    mo_status status = MO_E_IO;
    if (error == ENOENT || error == ENOTDIR) status = MO_E_NOT_FOUND;
    if (error == EEXIST) status = MO_E_EXISTS;
    if (error == ENOMEM) status = MO_E_MEMORY;
    return mo_error(status, "%s: cannot %s (%s)", path, verb, strerror(error));
}

mo_status mo__version_error(const char *noun, int64_t found, int newest)
{
    return mo_error(MO_E_VERSION,
                    "is %s of version %lld, moira " MO_VERSION_STRING
                    " reads versions up to %d; use a newer moira",
                    noun, (long long)found, newest);
}

bool mo_path_exists(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0;
}

bool mo_path_is_dir(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

static mo_status make_dir(const char *path)
{
    if (mkdir(path, 0777) == 0) return MO_OK;
    int error = errno;
    if (mo_path_is_dir(path)) return MO_OK;
    if (error == EEXIST) return mo_error(MO_E_EXISTS, "%s: is a file, a folder is needed here", path);
    errno = error;
    return mo__file_error(path, "make the folder");
}

mo_status mo_make_dirs(const char *path)
{
    if (path[0] == '\0') return mo_error(MO_E_NOT_FOUND, "\"\": is not the name of a folder");
    char *part = mo_strdup(path);
    if (!part) return MO_E_MEMORY;
    mo_status status = MO_OK;
    for (char *slash = part; status == MO_OK && (slash = strchr(slash + 1, '/'));) {
        *slash = '\0';
        if (!mo_path_is_dir(part)) status = make_dir(part);
        *slash = '/';
    }
    if (status == MO_OK) status = make_dir(part);
    mo_free(part);
    return status;
}

char *mo_path_dir(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash) return mo_strdup(".");
    if (slash == path) return mo_strdup("/");
    return mo_strprintf("%.*s", (int)(slash - path), path);
}

char *mo_path_join(const char *dir, const char *name)
{
    size_t length = strlen(dir);
    if (name[0] == '/' || length == 0) return mo_strdup(name);
    return mo_strprintf(dir[length - 1] == '/' ? "%s%s" : "%s/%s", dir, name);
}

static mo_status resolve(const char *path, char out[PATH_MAX])
{
    return realpath(path, out) ? MO_OK : mo__file_error(path, "find");
}

/* Up from `from` to the last folder that both are below, down from there. Both are absolute and plain. */
static char *between(const char *from, const char *to)
{
    size_t shared = 0, ups = 0, length = 0;
    for (size_t i = 0;; i++) {
        bool from_ends = !from[i] || from[i] == '/', to_ends = !to[i] || to[i] == '/';
        if (from_ends && to_ends) shared = i;
        if (from[i] != to[i] || !from[i]) break;
    }
    const char *rest = from + shared;
    for (const char *at = rest; *at; at++) ups += *at == '/' && at[1];
    const char *down = to[shared] == '/' ? to + shared + 1 : to + shared;
    char *out = mo_malloc(3 * ups + strlen(down) + 2);
    if (!out) return NULL;
    for (size_t i = 0; i < ups; i++, length += 3) memcpy(out + length, "../", 3);
    strcpy(out + length, *down ? down : length ? "" : ".");
    return out;
}

mo_status mo_path_from(const char *from, const char *to, char **out)
{
    char there[PATH_MAX], here[PATH_MAX];
    *out = NULL;
    if (to[0] == '/') {
        *out = mo_strdup(to);
        return *out ? MO_OK : MO_E_MEMORY;
    }
    MO_TRY(resolve(from, here));
    MO_TRY(resolve(to, there));
    *out = between(here, there);
    return *out ? MO_OK : MO_E_MEMORY;
}

/* Reads to the end of any kind of file, so that pipes and /proc work: the buffer doubles, and holds one byte
 * past the limit to tell a file that is too long. */
static mo_status read_all(int file, const char *path, size_t limit, char **out, size_t *size)
{
    size_t capacity = 0, used = 0;
    for (;;) {
        if (used == capacity) {
            capacity = capacity ? 2 * capacity : 4096;
            char *larger = mo_realloc(*out, capacity + 1);
            if (!larger) return mo_error_context(MO_E_MEMORY, "%s", path);
            *out = larger;
        }
        ssize_t got = read(file, *out + used, capacity - used);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return mo__file_error(path, "read");
        if (got == 0) break;
        used += (size_t)got;
        if (used > limit)
            return mo_error(MO_E_RANGE, "%s: is longer than %zu bytes, the most that is read here", path,
                            limit);
    }
    (*out)[used] = '\0';
    if (size) *size = used;
    return MO_OK;
}

mo_status mo_read_file(const char *path, size_t limit, char **out, size_t *size)
{
    *out = NULL;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return mo__file_error(path, "open");
    mo_status status = read_all(file, path, limit, out, size);
    close(file);
    if (status != MO_OK) {
        mo_free(*out);
        *out = NULL;
    }
    return status;
}
