/* hash.c -- XXH3-128 as 32 hex digits, most significant first (the canonical form of xxhash.h). */
#include <moira/base.h>

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "file.h"

static void to_hex(XXH128_hash_t hash, char hex[33])
{
    static const char DIGITS[] = "0123456789abcdef";
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, hash);
    for (int i = 0; i < 16; i++) {
        hex[2 * i] = DIGITS[canonical.digest[i] >> 4];
        hex[2 * i + 1] = DIGITS[canonical.digest[i] & 15];
    }
    hex[32] = '\0';
}

void mo_hash_bytes(const void *bytes, size_t size, char hex[33])
{
    to_hex(XXH3_128bits(bytes, size), hex);
}

enum { HASH_BUFFER = 1 << 20 };

static mo_status hash_rest(int file, const char *path, char *buffer, char hex[33])
{
    XXH3_state_t state;
    XXH3_128bits_reset(&state);
    for (;;) {
        ssize_t got = read(file, buffer, HASH_BUFFER);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return mo__file_error(path, "read");
        if (got == 0) break;
        XXH3_128bits_update(&state, buffer, (size_t)got);
    }
    to_hex(XXH3_128bits_digest(&state), hex);
    return MO_OK;
}

mo_status mo_hash_file(const char *path, uint64_t offset, char hex[33])
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return mo__file_error(path, "open");
    char *buffer = mo_malloc(HASH_BUFFER);
    mo_status status = buffer ? MO_OK : MO_E_MEMORY;
    if (status == MO_OK && (offset > INT64_MAX || lseek(file, (off_t)offset, SEEK_SET) < 0))
        status = mo_error(MO_E_IO, "%s: cannot go to byte %llu", path, (unsigned long long)offset);
    if (status == MO_OK) status = hash_rest(file, path, buffer, hex);
    mo_free(buffer);
    close(file);
    return status;
}
