/* event_file.c -- records of TensorBoard events: written whole, walked with their checksums, cut. */
#include "train/event_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "base/file.h"

enum {
    HEAD = 12, /* bytes before a record's content */
    TAIL = 4,  /* and behind it */
    FIRST = 24 /* of content in the first record of any event file: the time and "brain.Event:2" */
};

static void put(unsigned char *at, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++) at[i] = (unsigned char)(value >> 8 * i);
}

static uint64_t get(const unsigned char *at, int bytes)
{
    uint64_t value = 0;
    for (int i = 0; i < bytes; i++) value |= (uint64_t)at[i] << 8 * i;
    return value;
}

static uint32_t masked(const void *bytes, size_t size)
{
    uint32_t crc = mo__crc32c(bytes, size);
    return (crc >> 15 | crc << 17) + 0xA282EAD8;
}

static void put_head(unsigned char *at, uint64_t length)
{
    put(at, length, 8);
    put(at + 8, masked(at, 8), 4);
}

/* ---- reading ---- */

typedef struct reader {
    const mo__event_file *file;
    uint64_t at, size;      /* bytes of the file */
    unsigned char *content; /* of the last record */
    size_t room;
    bool no_memory;
} reader;

static mo_status read_at(const reader *r, uint64_t offset, unsigned char *out, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t got = pread(r->file->descriptor, out + done, size - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return mo__file_error(r->file->path, "read");
        if (got == 0) return mo_error(MO_E_IO, "%s: became shorter while it was read", r->file->path);
        done += (size_t)got;
    }
    return MO_OK;
}

static void *event_alloc(void *user, size_t size)
{
    reader *r = user;
    void *memory = mo_malloc(size);
    if (!memory) r->no_memory = true;
    return memory;
}

static void event_free(void *user, void *memory)
{
    (void)user;
    mo_free(memory);
}

/* Turns content into an event, of which the step and what it is of stay. *whole: it is one. */
static mo_status parse(reader *r, size_t length, MoTb__Event *out, bool *whole)
{
    ProtobufCAllocator allocator = {event_alloc, event_free, r};
    MoTb__Event *event = mo_tb__event__unpack(&allocator, length, r->content);
    *whole = event != NULL;
    if (r->no_memory) return mo_error_context(MO_E_MEMORY, "%s", r->file->path);
    if (!event) return MO_OK;
    out->step = event->step;
    out->what_case = event->what_case;
    mo_tb__event__free_unpacked(event, &allocator);
    return MO_OK;
}

/* The record at r->at, which moves past it; where there is none that is whole it stays. A length is trusted
 * only as far as the file reaches. */
static mo_status read_event(reader *r, MoTb__Event *out, bool *whole)
{
    unsigned char head[HEAD];
    *whole = false;
    if (r->size - r->at < HEAD + TAIL) return MO_OK;
    MO_TRY(read_at(r, r->at, head, HEAD));
    uint64_t length = get(head, 8);
    if (get(head + 8, 4) != masked(head, 8) || length > r->size - r->at - HEAD - TAIL) return MO_OK;
    size_t bytes = (size_t)length;
    if (bytes + TAIL > r->room) {
        unsigned char *larger = mo_realloc(r->content, bytes + TAIL);
        if (!larger) return mo_error_context(MO_E_MEMORY, "%s", r->file->path);
        r->content = larger;
        r->room = bytes + TAIL;
    }
    MO_TRY(read_at(r, r->at + HEAD, r->content, bytes + TAIL));
    if (get(r->content + bytes, TAIL) != masked(r->content, bytes)) return MO_OK;
    MO_TRY(parse(r, bytes, out, whole));
    if (*whole) r->at += HEAD + length + TAIL;
    return MO_OK;
}

/* It begins like every event file, or is what a kill or a full disk left of such a beginning. */
static mo_status check_begin(reader *r)
{
    unsigned char head[HEAD], expected[HEAD];
    size_t there = r->size < HEAD ? (size_t)r->size : HEAD;
    MoTb__Event first = {.step = 0};
    bool whole = false;
    put_head(expected, FIRST);
    MO_TRY(read_at(r, 0, head, there));
    MO_TRY(read_event(r, &first, &whole));
    r->at = 0;
    if (memcmp(head, expected, there) == 0 && (!whole || first.what_case == MO_TB__EVENT__WHAT_FILE_VERSION))
        return MO_OK;
    return mo_error(MO_E_FORMAT,
                    "%s: is not a TensorBoard event file; move it away, or set log.tensorboard=false",
                    r->file->path);
}

/* Moves r->at to where the first record ends the part that stays. */
static mo_status find_end(reader *r, int64_t step)
{
    MoTb__Event event = {.step = 0};
    for (bool whole = true; whole && r->at < r->size;) {
        uint64_t before = r->at;
        MO_TRY(read_event(r, &event, &whole));
        if (whole && event.step > step) {
            r->at = before;
            return MO_OK;
        }
    }
    if (r->at < r->size)
        mo_log(MO_LOG_INFO, "%s: the record at byte %llu is torn; the file goes on from there", r->file->path,
               (unsigned long long)r->at);
    return MO_OK;
}

static mo_status cut_back(reader *r, int64_t step)
{
    MO_TRY(check_begin(r));
    if (step >= 0) MO_TRY(find_end(r, step));
    if (r->at == r->size || ftruncate(r->file->descriptor, (off_t)r->at) == 0) return MO_OK;
    return mo__file_error(r->file->path, "cut");
}

/* ---- the file ---- */

static mo_status open_at(mo__event_file *f, int64_t step, bool *empty)
{
    struct stat info;
    f->descriptor = open(f->path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (f->descriptor < 0 || fstat(f->descriptor, &info) != 0) return mo__file_error(f->path, "open");
    if (!S_ISREG(info.st_mode)) return mo_error(MO_E_FORMAT, "%s: is not a regular file", f->path);
    reader r = {.file = f, .size = (uint64_t)info.st_size};
    mo_status status = cut_back(&r, step);
    *empty = r.at == 0;
    mo_free(r.content);
    return status;
}

mo_status mo__event_file_open(const char *path, int64_t step, bool *empty, mo__event_file *out)
{
    *out = (mo__event_file){.descriptor = -1, .path = mo_strdup(path)};
    if (!out->path) return MO_E_MEMORY;
    mo_status status = open_at(out, step, empty);
    if (status != MO_OK) mo__event_file_close(out);
    return status;
}

static mo_status write_all(const mo__event_file *f, const unsigned char *bytes, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t wrote = write(f->descriptor, bytes + done, size - done);
        if (wrote < 0 && errno == EINTR) continue;
        if (wrote < 0) return mo__file_error(f->path, "write");
        done += (size_t)wrote;
    }
    return MO_OK;
}

mo_status mo__event_file_append(mo__event_file *f, MoTb__Event *event)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    event->wall_time = (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
    size_t length = mo_tb__event__get_packed_size(event);
    unsigned char *record = mo_malloc(HEAD + length + TAIL);
    if (!record) return mo_error_context(MO_E_MEMORY, "%s", f->path);
    put_head(record, length);
    mo_tb__event__pack(event, record + HEAD);
    put(record + HEAD + length, masked(record + HEAD, length), TAIL);
    mo_status status = write_all(f, record, HEAD + length + TAIL);
    mo_free(record);
    return status;
}

mo_status mo__event_file_close(mo__event_file *f)
{
    mo_status status = MO_OK;
    if (f->descriptor >= 0 && close(f->descriptor) != 0) status = mo__file_error(f->path, "close");
    mo_free(f->path);
    *f = (mo__event_file){.descriptor = -1};
    return status;
}
