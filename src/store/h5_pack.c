/* h5_pack.c -- HDF5's shuffle, deflate and fletcher32 filters, over many chunks at once. */
#include "h5_pack.h"

#include <string.h>
#define ZLIB_CONST
#include <zlib.h>

enum { MOST_THREADS = 16, CHECKSUM_SIZE = 4 };

typedef struct {
    z_stream stream;
    bool started;
    unsigned char *planes; /* MO__H5_CHUNK: the chunk shuffled or padded */
    unsigned char *packed; /* room for the worst case and the checksum */
    size_t packed_size;
} slot;

struct mo__pack {
    int level, slots;
    size_t room;
    slot slot[];
};

/* zlib's memory is counted like ours. */
static voidpf pack_alloc(voidpf opaque, uInt items, uInt size)
{
    (void)opaque;
    return mo_malloc((size_t)items * size);
}

static void pack_free(voidpf opaque, voidpf memory)
{
    (void)opaque;
    mo_free(memory);
}

static mo_status slot_start(mo__pack *pack, slot *s, bool entropy_only)
{
    s->planes = mo_malloc(MO__H5_CHUNK);
    s->packed = mo_malloc(pack->room);
    if (!s->planes || !s->packed) return MO_E_MEMORY;
    if (pack->level == 0) return MO_OK;
    s->stream = (z_stream){.zalloc = pack_alloc, .zfree = pack_free};
    int strategy = entropy_only && pack->level == 1 ? Z_HUFFMAN_ONLY : Z_DEFAULT_STRATEGY;
    if (deflateInit2(&s->stream, pack->level, Z_DEFLATED, 15, 8, strategy) != Z_OK) return MO_E_MEMORY;
    s->started = true;
    return MO_OK;
}

mo_status mo__pack_create(int level, bool entropy_only, mo__pack **out)
{
    *out = NULL;
    int threads = mo_threads();
    int slots = 2 * (threads < MOST_THREADS ? threads : MOST_THREADS);
    mo__pack *pack = mo_calloc(1, sizeof *pack + (size_t)slots * sizeof(slot));
    if (!pack) return MO_E_MEMORY;
    pack->level = level;
    pack->slots = slots;
    pack->room = compressBound(MO__H5_CHUNK) + CHECKSUM_SIZE;
    for (int i = 0; i < slots; i++) {
        mo_status status = slot_start(pack, &pack->slot[i], entropy_only);
        if (status == MO_OK) continue;
        mo__pack_free(pack);
        return status;
    }
    *out = pack;
    return MO_OK;
}

void mo__pack_free(mo__pack *pack)
{
    if (!pack) return;
    for (int i = 0; i < pack->slots; i++) {
        slot *s = &pack->slot[i];
        if (s->started) deflateEnd(&s->stream);
        mo_free(s->planes);
        mo_free(s->packed);
    }
    mo_free(pack);
}

/* Byte j of element i goes to planes[j * n + i], n elements in a full chunk; what is not given is zero. */
static void shuffle(const mo__pack_chunk *chunk, unsigned char *planes)
{
    const unsigned char *data = chunk->data;
    size_t width = chunk->width, n = chunk->full / width, given = chunk->valid / width;
    for (size_t j = 0; j < width; j++) {
        unsigned char *plane = planes + j * n;
        for (size_t i = 0; i < given; i++) plane[i] = data[i * width + j];
        memset(plane + given, 0, n - given);
    }
}

/* Fletcher's sum of big-endian 16-bit words, modulo 65535 with end-around carries, as HDF5 has it: a last odd
 * byte is the high half of a word; the second sum is the high half of the result. */
static uint32_t fletcher32(const unsigned char *bytes, size_t size)
{
    enum { UNFOLDED = 360 }; /* words whose sums cannot overflow 32 bits */
    uint32_t a = 0, b = 0;
    size_t words = size / 2;
    while (words) {
        size_t run = words < UNFOLDED ? words : UNFOLDED;
        words -= run;
        for (; run; run--, bytes += 2) {
            a += (uint32_t)bytes[0] << 8 | bytes[1];
            b += a;
        }
        a = (a & 0xffff) + (a >> 16);
        b = (b & 0xffff) + (b >> 16);
    }
    if (size % 2) {
        a += (uint32_t)*bytes << 8;
        b += a;
        a = (a & 0xffff) + (a >> 16);
        b = (b & 0xffff) + (b >> 16);
    }
    a = (a & 0xffff) + (a >> 16);
    b = (b & 0xffff) + (b >> 16);
    return b << 16 | a;
}

static size_t deflate_into(slot *s, const unsigned char *bytes, size_t size, size_t room)
{
    z_stream *z = &s->stream;
    deflateReset(z);
    z->next_in = bytes;
    z->avail_in = (uInt)size;
    z->next_out = s->packed;
    z->avail_out = (uInt)room;
    int result = deflate(z, Z_FINISH);
    MO_ASSERT(result == Z_STREAM_END); /* the room is deflate's own bound */
    return room - z->avail_out;
}

static void pack_chunk(const mo__pack *pack, const mo__pack_chunk *chunk, slot *s)
{
    const unsigned char *bytes = chunk->data;
    bool shuffled = pack->level > 0 && chunk->width > 1;
    if (shuffled) {
        shuffle(chunk, s->planes);
        bytes = s->planes;
    } else if (chunk->valid < chunk->full) {
        memcpy(s->planes, chunk->data, chunk->valid);
        memset(s->planes + chunk->valid, 0, chunk->full - chunk->valid);
        bytes = s->planes;
    }
    size_t size = chunk->full;
    if (pack->level > 0)
        size = deflate_into(s, bytes, size, pack->room - CHECKSUM_SIZE);
    else
        memcpy(s->packed, bytes, size);
    uint32_t sum = fletcher32(s->packed, size);
    for (int i = 0; i < CHECKSUM_SIZE; i++) s->packed[size + (size_t)i] = (unsigned char)(sum >> 8 * i);
    s->packed_size = size + CHECKSUM_SIZE;
}

static mo_status write_round(mo__pack *pack, const mo__pack_chunk *chunks, int n)
{
    int threads = pack->slots / 2 < n ? pack->slots / 2 : n;
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads)
    for (int i = 0; i < n; i++) pack_chunk(pack, &chunks[i], &pack->slot[i]);
    for (int i = 0; i < n; i++) {
        const slot *s = &pack->slot[i];
        if (H5Dwrite_chunk(chunks[i].dataset, H5P_DEFAULT, 0, chunks[i].offset, s->packed_size, s->packed) <
            0)
            return mo__h5_error(MO_E_IO, "cannot write a chunk of %zu bytes", s->packed_size);
    }
    return MO_OK;
}

mo_status mo__pack_write(mo__pack *pack, const mo__pack_chunk *chunks, int n)
{
    for (int done = 0; done < n; done += pack->slots) {
        int left = n - done;
        MO_TRY(write_round(pack, chunks + done, left < pack->slots ? left : pack->slots));
    }
    return MO_OK;
}
