/* corpus_look.c -- what a file is, by its first bytes and its name. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "corpus_files.h"

/* First bytes of files that hold text only after something was done with them, or not at all. */
typedef struct {
    const char *bytes;
    size_t size;
    const char *what, *advice;
} magic;

#define MAGIC(bytes, what, advice)            \
    {                                         \
        bytes, sizeof bytes - 1, what, advice \
    }
/* clang-format off */
static const magic OTHERS[] = {
    MAGIC("MOIRA TOKENS ", "a token file of Moira, not a text", "it is prepared already, and can be trained on as it is"),
    MAGIC("MOIRA CHECKPOINT ", "a checkpoint of Moira, not a text", "a text or JSONL is needed"),
    MAGIC("\x89HDF\r\n\x1a\n", "an HDF5 file, not a text", "write its texts out as JSONL"),
    MAGIC("PAR1", "a Parquet file, not a text", "write its texts out as JSONL"),
    MAGIC("\x28\xb5\x2f\xfd", "compressed with zstd, not a text", "unpack it, or pack it with gzip"),
    MAGIC("\xfd" "7zXZ", "compressed with xz, not a text", "unpack it, or pack it with gzip"),
    MAGIC("BZh", "compressed with bzip2, not a text", "unpack it, or pack it with gzip"),
    MAGIC("PK\x03\x04", "a zip archive, not a text", "unpack it"),
    MAGIC("%PDF-", "a PDF, not a text", "a text or JSONL is needed"),
    MAGIC("\xff\xfe", "in UTF-16, and UTF-8 is needed", "iconv -f UTF-16 -t UTF-8 converts it"),
    MAGIC("\xfe\xff", "in UTF-16, and UTF-8 is needed", "iconv -f UTF-16 -t UTF-8 converts it"),
};
/* clang-format on */

static mo_status check_magic(const char *path, const char *head, size_t size)
{
    for (size_t i = 0; i < sizeof OTHERS / sizeof *OTHERS; i++)
        if (size >= OTHERS[i].size && !memcmp(head, OTHERS[i].bytes, OTHERS[i].size))
            return mo_error(MO_E_FORMAT, "%s: is %s; %s", path, OTHERS[i].what, OTHERS[i].advice);
    return MO_OK;
}

static bool ends_in(const char *name, size_t length, const char *end)
{
    size_t size = strlen(end);
    return length > size && !strncasecmp(name + length - size, end, size);
}

static bool is_jsonl(const char *path)
{
    static const char *const ENDS[] = {".jsonl", ".ndjson", ".json-lines", ".jsonlines", ".json"};
    size_t length = strlen(path);
    if (ends_in(path, length, ".gz")) length -= 3;
    for (size_t i = 0; i < sizeof ENDS / sizeof *ENDS; i++)
        if (ends_in(path, length, ENDS[i])) return true;
    return false;
}

static mo_status look_into(int descriptor, mo__corpus_file *file)
{
    struct stat info;
    char head[32];
    if (fstat(descriptor, &info) != 0) return mo__file_error(file->path, "look at");
    if (!S_ISREG(info.st_mode)) return mo_error(MO_E_FORMAT, "%s: is not a regular file", file->path);
    ssize_t size = pread(descriptor, head, sizeof head, 0);
    if (size < 0) return mo__file_error(file->path, "read");
    file->stored = (uint64_t)info.st_size;
    file->device = info.st_dev;
    file->inode = info.st_ino;
    file->gzip = size >= 2 && !memcmp(head, "\x1f\x8b", 2);
    return check_magic(file->path, head, (size_t)size);
}

mo_status mo__corpus_file_absent(const char *path, const char *verb)
{
    struct stat info;
    int error = errno;
    bool link = lstat(path, &info) == 0 && S_ISLNK(info.st_mode);
    if (link && (error == ENOENT || error == ELOOP))
        return mo_error(MO_E_NOT_FOUND, "%s: is a link that leads nowhere", path);
    errno = error;
    return mo__file_error(path, verb);
}

mo_status mo__corpus_file_look(const char *path, mo_corpus_format format, mo__corpus_file *out)
{
    *out = (mo__corpus_file){.jsonl = format == MO_CORPUS_AUTO ? is_jsonl(path) : format == MO_CORPUS_JSONL};
    /* A pipe would keep a plain open waiting for its writer. */
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor < 0) return mo__corpus_file_absent(path, "open");
    out->path = mo_strdup(path);
    mo_status status = out->path ? look_into(descriptor, out) : MO_E_MEMORY;
    close(descriptor);
    if (status == MO_OK) return MO_OK;
    mo_free(out->path);
    out->path = NULL;
    return status;
}
