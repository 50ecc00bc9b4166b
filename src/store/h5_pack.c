/* h5_pack.c -- HDF5's shuffle, deflate and fletcher32 filters, over many chunks at once. */
#include "h5_pack.h"

#include <math.h>
#include <string.h>
#define ZLIB_CONST
#include <zlib.h>

enum { MOST_THREADS = 16, CHECKSUM_SIZE = 4, SWITCHES = 256 /* bytes of block ends between planes */ };

typedef struct {
    z_stream stream;
    bool started;
    unsigned char *planes; /* MO__H5_CHUNK: the chunk shuffled or padded */
    unsigned char *packed; /* room for the worst case and the checksum */
    size_t packed_size;
} slot;

struct mo__pack {
    int level, slots;
    bool entropy_only;
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

static mo_status slot_start(mo__pack *pack, slot *s)
{
    s->planes = mo_malloc(MO__H5_CHUNK);
    s->packed = mo_malloc(pack->room);
    if (!s->planes || !s->packed) return MO_E_MEMORY;
    if (pack->level == 0) return MO_OK;
    s->stream = (z_stream){.zalloc = pack_alloc, .zfree = pack_free};
    int strategy = pack->entropy_only ? Z_HUFFMAN_ONLY : Z_DEFAULT_STRATEGY;
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
    pack->entropy_only = entropy_only && level == 1;
    pack->slots = slots;
    pack->room = compressBound(MO__H5_CHUNK) + SWITCHES + CHECKSUM_SIZE;
    for (int i = 0; i < slots; i++) {
        mo_status status = slot_start(pack, &pack->slot[i]);
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

/* Whether Huffman coding shortens the bytes by at least one in 64. Their entropy is a bound that it comes
 * near to; few bytes are always tried. */
static bool is_compressible(const unsigned char *bytes, size_t size)
{
    enum { FEW = 4096, LANES = 4 }; /* lanes: counters of neighbours do not wait for each other */
    uint32_t count[LANES][256] = {{0}};
    if (size < FEW) return true;
    for (size_t i = 0; i + LANES <= size; i += LANES)
        for (size_t k = 0; k < LANES; k++) count[k][bytes[i + k]]++;
    double bits = 0, total = (double)(size - size % LANES);
    for (int v = 0; v < 256; v++) {
        double n = (double)(count[0][v] + count[1][v] + count[2][v] + count[3][v]);
        if (n > 0) bits += n * log2(total / n);
    }
    return bits < 8 * total * (1 - 1.0 / 64);
}

/* The planes of `width`-byte elements; those that are noise, like the low ones of floats, are stored: coding
 * them would take most of the time for nothing. */
static void feed_planes(z_stream *z, size_t plane, size_t width)
{
    for (size_t j = 0; j < width; j++) {
        deflateParams(z, is_compressible(z->next_in, plane) ? 1 : 0, Z_HUFFMAN_ONLY);
        z->avail_in = (uInt)plane;
        deflate(z, Z_NO_FLUSH);
    }
}

static size_t deflate_into(slot *s, const mo__pack *pack, const unsigned char *bytes, size_t size,
                           size_t width)
{
    z_stream *z = &s->stream;
    size_t room = pack->room - CHECKSUM_SIZE;
    deflateReset(z);
    z->next_in = bytes;
    z->avail_in = 0;
    z->next_out = s->packed;
    z->avail_out = (uInt)room;
    if (pack->entropy_only)
        feed_planes(z, size / width, width);
    else
        z->avail_in = (uInt)size;
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
        size = deflate_into(s, pack, bytes, size, chunk->width);
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
    MO__H5_LOCK();
    for (int i = 0; i < n; i++) {
        const slot *s = &pack->slot[i];
        if (H5Dwrite_chunk(chunks[i].dataset, H5P_DEFAULT, 0, chunks[i].offset, s->packed_size, s->packed) <
            0)
            return mo__h5_error(MO_E_IO, "cannot write a chunk of %zu bytes", s->packed_size);
    }
    return MO_OK;
}

int mo__pack_slots(const mo__pack *pack)
{
    return pack->slots;
}

mo_status mo__pack_write(mo__pack *pack, const mo__pack_chunk *chunks, int n)
{
    for (int done = 0; done < n; done += pack->slots) {
        int left = n - done;
        MO_TRY(write_round(pack, chunks + done, left < pack->slots ? left : pack->slots));
    }
    return MO_OK;
}
