/* corpus_stream.c -- plain files are read, gzip files (RFC 1952: members one after the other) are unpacked.
 */
#include "corpus_stream.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#define ZLIB_CONST
#include <zlib.h>

#include "base/file.h"

enum {
    PACKED = 1 << 17,
    GZIP_ONLY = 15 + 16 /* zlib's window bits for a gzip header and its largest window */
};

struct mo__stream {
    const mo__corpus_file *file;
    int descriptor;
    bool begun, had_mark, ended; /* ended: the file has no more bytes */
    uint64_t stored, given;      /* bytes taken from the file; bytes of text handed out */
    z_stream z;
    bool unpacks, between; /* between: at the begin of the file or behind a member */
    unsigned char *packed;
};

/* zlib's memory is counted like ours. */
static voidpf zip_alloc(voidpf opaque, uInt items, uInt size)
{
    (void)opaque;
    return mo_malloc((size_t)items * size);
}

static void zip_free(voidpf opaque, voidpf memory)
{
    (void)opaque;
    mo_free(memory);
}

static mo_status start_unpacking(mo__stream *s)
{
    s->packed = mo_malloc(PACKED);
    if (!s->packed) return MO_E_MEMORY;
    s->z = (z_stream){.zalloc = zip_alloc, .zfree = zip_free};
    if (inflateInit2(&s->z, GZIP_ONLY) != Z_OK) return MO_E_MEMORY;
    s->unpacks = s->between = true;
    return MO_OK;
}

mo_status mo__stream_open(const mo__corpus_file *file, mo__stream **out)
{
    *out = NULL;
    mo__stream *s = mo_calloc(1, sizeof *s);
    if (!s) return MO_E_MEMORY;
    s->file = file;
    s->descriptor = open(file->path, O_RDONLY | O_CLOEXEC);
    mo_status status = s->descriptor < 0 ? mo__file_error(file->path, "open") : MO_OK;
    if (status == MO_OK && file->gzip) status = start_unpacking(s);
    if (status != MO_OK)
        mo__stream_close(s);
    else
        *out = s;
    return status;
}

void mo__stream_close(mo__stream *s)
{
    if (!s) return;
    if (s->descriptor >= 0) close(s->descriptor);
    if (s->unpacks) inflateEnd(&s->z);
    mo_free(s->packed);
    mo_free(s);
}

bool mo__stream_had_mark(const mo__stream *s)
{
    return s->had_mark;
}

uint64_t mo__stream_stored(const mo__stream *s)
{
    return s->stored;
}

static mo_status read_plain(mo__stream *s, void *bytes, size_t size, size_t *got)
{
    *got = 0;
    while (*got < size && !s->ended) {
        ssize_t n = read(s->descriptor, (char *)bytes + *got, size - *got);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return mo__file_error(s->file->path, "read");
        s->ended = n == 0;
        *got += (size_t)n;
        s->stored += (uint64_t)n;
    }
    return MO_OK;
}

/* ---- gzip ---- */

static mo_status refill(mo__stream *s)
{
    size_t got;
    if (s->z.avail_in || s->ended) return MO_OK;
    MO_TRY(read_plain(s, s->packed, PACKED, &got));
    s->z.next_in = s->packed;
    s->z.avail_in = (uInt)got;
    return MO_OK;
}

/* Zeros that fill a last block of a tape may stand behind a member (as gzip(1) has it), nothing else but
 * another member. True at the end of all of them. */
static bool skip_padding(mo__stream *s)
{
    while (s->z.avail_in && *s->z.next_in == 0) {
        s->z.next_in++;
        s->z.avail_in--;
    }
    return s->z.avail_in == 0;
}

static bool begins_member(const mo__stream *s)
{
    return *s->z.next_in == 0x1F;
}

static mo_status refuse_rest(const mo__stream *s)
{
    return mo_error(MO_E_CORRUPT, "%s: what begins at byte %llu, behind its gzip data, is no gzip",
                    s->file->path, (unsigned long long)(s->stored - s->z.avail_in));
}

static mo_status refuse_packed(const mo__stream *s, int result)
{
    unsigned long long at = s->stored - s->z.avail_in;
    if (result == Z_MEM_ERROR) return mo_error(MO_E_MEMORY, "%s: no memory to unpack it", s->file->path);
    if (result == Z_BUF_ERROR)
        return mo_error(MO_E_CORRUPT, "%s: is cut short: its gzip data end in the middle, at byte %llu",
                        s->file->path, at);
    return mo_error(MO_E_CORRUPT, "%s: its gzip data are damaged at or before byte %llu (%s)", s->file->path,
                    at, s->z.msg ? s->z.msg : "no reason given");
}

static mo_status read_packed(mo__stream *s, char *text, size_t size, size_t *got)
{
    s->z.next_out = (unsigned char *)text;
    s->z.avail_out = (uInt)size;
    while (s->z.avail_out) {
        MO_TRY(refill(s));
        if (s->between && skip_padding(s)) {
            if (s->ended) break;
            continue;
        }
        if (s->between && !begins_member(s)) return refuse_rest(s);
        s->between = false;
        int result = inflate(&s->z, Z_NO_FLUSH);
        if (result == Z_STREAM_END) {
            inflateReset(&s->z);
            s->between = true;
        } else if (result != Z_OK) {
            return refuse_packed(s, result);
        }
    }
    *got = size - s->z.avail_out;
    return MO_OK;
}

/* ---- both ---- */

static mo_status read_bytes(mo__stream *s, char *text, size_t size, size_t *got)
{
    return s->unpacks ? read_packed(s, text, size, got) : read_plain(s, text, size, got);
}

/* No text has a NUL: what has one is UTF-16 or no text at all, and would be trained on unseen. */
static mo_status check_text(const mo__stream *s, const char *text, size_t size)
{
    const char *nul = memchr(text, 0, size);
    if (!nul) return MO_OK;
    return mo_error(MO_E_FORMAT, "%s: byte %llu%s is NUL: this is no text, or not in UTF-8", s->file->path,
                    (unsigned long long)(s->given + (uint64_t)(nul - text)),
                    s->unpacks ? " of what it unpacks to" : "");
}

static mo_status drop_mark(mo__stream *s, char *text, size_t size, size_t *got)
{
    s->begun = true;
    if (*got < 3 || memcmp(text, "\xEF\xBB\xBF", 3)) return MO_OK;
    s->had_mark = true;
    s->given = 3;
    *got -= 3;
    memmove(text, text + 3, *got);
    size_t more;
    MO_TRY(read_bytes(s, text + *got, size - *got, &more));
    *got += more;
    return MO_OK;
}

mo_status mo__stream_read(mo__stream *s, char *text, size_t size, size_t *got)
{
    *got = 0;
    MO_TRY(read_bytes(s, text, size, got));
    if (!s->begun) MO_TRY(drop_mark(s, text, size, got));
    MO_TRY(check_text(s, text, *got));
    s->given += *got;
    return MO_OK;
}
