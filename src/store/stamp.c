/* stamp.c -- writing and checking the stamp in a file's user block. */
#include "stamp.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <moira/checkpoint.h>

#include "base/file.h"

#define HASH_KEY "xxh3_128="

const mo__stamp_kind mo__stamp_checkpoint = {"MOIRA CHECKPOINT ", "a checkpoint", 2};
const mo__stamp_kind mo__stamp_tokens = {"MOIRA TOKENS ", "a token file", 2};

static mo_status render(const char *path, const mo__stamp_kind *kind, int version, uint64_t bytes,
                        char block[MO__STAMP_SIZE])
{
    char hex[33];
    MO_TRY(mo_hash_file(path, MO__STAMP_SIZE, hex));
    memset(block, 0, MO__STAMP_SIZE);
    snprintf(block, MO__STAMP_SIZE, "%s%d\n" HASH_KEY "%s\nbytes=%llu\n", kind->magic, version, hex,
             (unsigned long long)bytes);
    return MO_OK;
}

static mo_status write_stamp(const char *path, const mo__stamp_kind *kind, int version)
{
    int file = open(path, O_WRONLY | O_CLOEXEC);
    if (file < 0) return mo__file_error(path, "open");
    struct stat info;
    char block[MO__STAMP_SIZE];
    mo_status status = fstat(file, &info) == 0 ? MO_OK : mo__file_error(path, "look at");
    if (status == MO_OK) status = render(path, kind, version, (uint64_t)info.st_size, block);
    if (status == MO_OK && pwrite(file, block, sizeof block, 0) != (ssize_t)sizeof block)
        status = mo__file_error(path, "write the stamp");
    if (close(file) != 0 && status == MO_OK) status = mo__file_error(path, "close");
    return status;
}

mo_status mo__stamp_write(const char *path, const mo__stamp_kind *kind)
{
    return write_stamp(path, kind, kind->version);
}

/* The first bytes, at most a block of them, and the size of the file. */
static mo_status read_head(const char *path, char block[MO__STAMP_SIZE + 1], size_t *got, uint64_t *bytes)
{
    memset(block, 0, MO__STAMP_SIZE + 1);
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe has nobody to wait for */
    if (file < 0) return mo__file_error(path, "open");
    struct stat info;
    ssize_t count = -1;
    mo_status status = fstat(file, &info) == 0 ? MO_OK : mo__file_error(path, "look at");
    if (status == MO_OK && S_ISDIR(info.st_mode))
        status = mo_error(MO_E_FORMAT, "%s: is a folder, a file is needed", path);
    else if (status == MO_OK && !S_ISREG(info.st_mode))
        status = mo_error(MO_E_FORMAT, "%s: is no regular file", path);
    if (status == MO_OK && (count = pread(file, block, MO__STAMP_SIZE, 0)) < 0)
        status = mo__file_error(path, "read");
    close(file);
    if (status != MO_OK) return status;
    *got = (size_t)count;
    *bytes = (uint64_t)info.st_size;
    return MO_OK;
}

static const mo__stamp_kind *const KINDS[] = {&mo__stamp_checkpoint, &mo__stamp_tokens};
enum { N_KINDS = sizeof KINDS / sizeof *KINDS };

static mo_status check_kind(const char *path, const mo__stamp_kind *kind, const char *block, size_t got)
{
    size_t length = strlen(kind->magic);
    if (got >= length && !memcmp(block, kind->magic, length)) return MO_OK;
    if (got == 0) return mo_error(MO_E_FORMAT, "%s: is empty, %s is needed", path, kind->noun);
    if (got < length && !memcmp(block, kind->magic, got))
        return mo_error(MO_E_CORRUPT, "%s: is cut short after %zu bytes", path, got);
    for (int i = 0; i < N_KINDS; i++)
        if (!strncmp(block, KINDS[i]->magic, strlen(KINDS[i]->magic)))
            return mo_error(MO_E_FORMAT, "%s: is %s, %s is needed", path, KINDS[i]->noun, kind->noun);
    return mo_error(MO_E_FORMAT, "%s: is not %s (its first bytes are not \"%s\")", path, kind->noun,
                    kind->magic);
}

static mo_status check_version(const char *path, const mo__stamp_kind *kind, const char *block, int *version)
{
    const char *text = block + strlen(kind->magic);
    char *end;
    errno = 0;
    long found = strtol(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || (*end != '\n' && *end != '\0') || errno || found < 1)
        return mo_error(MO_E_FORMAT, "%s: is not %s (no version in its first line)", path, kind->noun);
    if (found > kind->version)
        return mo_error_context(mo__version_error(kind->noun, found, kind->version), "%s", path);
    *version = (int)found;
    return MO_OK;
}

static mo_status check_size(const char *path, const char *block, size_t got, uint64_t bytes)
{
    const char *line = strstr(block, "\nbytes=");
    unsigned long long stored = line ? strtoull(line + 7, NULL, 10) : 0;
    if (line && stored > bytes)
        return mo_error(MO_E_CORRUPT, "%s: is cut short: %llu of its %llu bytes are there", path,
                        (unsigned long long)bytes, stored);
    if (got < MO__STAMP_SIZE) return mo_error(MO_E_CORRUPT, "%s: is cut short after %zu bytes", path, got);
    return MO_OK;
}

mo_status mo__stamp_check(const char *path, const mo__stamp_kind *kind, char hash[33])
{
    char block[MO__STAMP_SIZE + 1], right[MO__STAMP_SIZE];
    size_t got = 0;
    uint64_t bytes = 0;
    int version = 0;
    MO_TRY(read_head(path, block, &got, &bytes));
    MO_TRY(check_kind(path, kind, block, got));
    MO_TRY(check_version(path, kind, block, &version));
    MO_TRY(check_size(path, block, got, bytes));
    MO_TRY(render(path, kind, version, bytes, right));
    if (memcmp(block, right, sizeof right))
        return mo_error(
            MO_E_CORRUPT,
            "%s: is damaged: its bytes are not those it was stamped for (if a program changed it on "
            "purpose, see moira help inspect, --restamp)",
            path);
    if (hash) snprintf(hash, 33, "%s", strstr(right, HASH_KEY) + sizeof HASH_KEY - 1);
    return MO_OK;
}

/* ---- stamping anew ---- */

static mo_status copy_file(const char *from, const char *to)
{
    enum { PART = 1 << 16 };
    char part[PART];
    FILE *in = fopen(from, "re"), *out = in ? fopen(to, "we") : NULL;
    mo_status status = in && out ? MO_OK : mo__file_error(in ? to : from, "open");
    while (status == MO_OK) {
        size_t size = fread(part, 1, sizeof part, in);
        if (size == 0) break;
        if (fwrite(part, 1, size, out) != size) status = mo__file_error(to, "write");
    }
    if (status == MO_OK && ferror(in)) status = mo__file_error(from, "read");
    if (out && fclose(out) != 0 && status == MO_OK) status = mo__file_error(to, "write");
    if (in) fclose(in);
    return status;
}

mo_status mo_restamp(const char *path, mo_status (*check)(const char *path))
{
    char block[MO__STAMP_SIZE + 1];
    size_t got = 0;
    uint64_t bytes = 0;
    int version = 0, k = 0;
    mo_replace replace;
    MO_TRY(read_head(path, block, &got, &bytes));
    while (k < N_KINDS - 1 && strncmp(block, KINDS[k]->magic, strlen(KINDS[k]->magic)) != 0) k++;
    MO_TRY(check_kind(path, KINDS[k], block, got));
    MO_TRY(check_version(path, KINDS[k], block, &version));
    if (got < MO__STAMP_SIZE) return mo_error(MO_E_CORRUPT, "%s: is cut short after %zu bytes", path, got);
    MO_TRY(mo_replace_begin(&replace, path));
    mo_status status = copy_file(path, replace.path);
    if (status == MO_OK) status = write_stamp(replace.path, KINDS[k], version);
    if (status == MO_OK) status = check(replace.path);
    if (status == MO_OK) return mo_replace_commit(&replace);
    mo__replace_error(&replace, status);
    mo_replace_abort(&replace);
    return status;
}
