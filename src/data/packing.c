/* packing.c -- whole documents into windows of L tokens: best-fit decreasing (Johnson, Demers, Ullman, Garey
 * & Graham 1974, SIAM J. Comput. 3: at most 11/9 of the fewest windows possible, and 4 more).
 *
 * Documents go in from the longest to the shortest, equals in their order, each into the window with the
 * least room that it fits in, the one that came to have so little last among equals, or into a new one.
 * Windows are then numbered by the first of their documents, and a window has its documents in their order:
 * so the windows follow the split, and the first of them are no selection by length.
 * Time O(D log64 L + L): windows with equal room are a list, and a tree of bits finds the next room that some
 * window has. */
#include "packing.h"

#include <string.h>

/* ---- a set of whole numbers below a bound ---- */

enum { LEVELS = 11, BITS = 64 };

/* Bit i of level k + 1 says whether word i of level k is not 0. */
typedef struct room_set {
    uint64_t *word[LEVELS];
    int levels;
} room_set;

static mo_status room_set_create(int64_t bound, room_set *out)
{
    size_t words = 0, n = (size_t)bound;
    int64_t first[LEVELS];
    *out = (room_set){.levels = 0};
    do { /* a spare bit at the end of each level, so that "the next word" is one */
        n = n / BITS + 1;
        first[out->levels++] = (int64_t)words;
        words += n;
    } while (n > 1);
    uint64_t *all = mo_calloc(words, sizeof *all);
    if (!all) return MO_E_MEMORY;
    for (int k = 0; k < out->levels; k++) out->word[k] = all + first[k];
    return MO_OK;
}

static void room_set_add(room_set *s, int64_t i)
{
    for (int k = 0; k < s->levels; k++, i /= BITS) s->word[k][i / BITS] |= UINT64_C(1) << i % BITS;
}

static void room_set_remove(room_set *s, int64_t i)
{
    for (int k = 0; k < s->levels; k++, i /= BITS)
        if (s->word[k][i / BITS] &= ~(UINT64_C(1) << i % BITS)) return;
}

/* The least member >= i; -1 if there is none. */
static int64_t room_set_next(const room_set *s, int64_t i)
{
    for (int k = 0; k < s->levels; k++, i = i / BITS + 1) {
        uint64_t rest = s->word[k][i / BITS] >> i % BITS;
        if (!rest) {
            if (k + 1 < s->levels) continue;
            return -1;
        }
        i += __builtin_ctzll(rest);
        while (k-- > 0) i = i * BITS + __builtin_ctzll(s->word[k][i]);
        return i;
    }
    return -1;
}

/* ---- documents by length ---- */

static int64_t length_of(const mo_tokens *t, int64_t d)
{
    return (int64_t)(t->offsets[d + 1] - t->offsets[d]);
}

mo_status mo__packing_fits(const mo_tokens *t, int64_t sequence_length)
{
    int64_t longest = -1, most = sequence_length, count = 0;
    for (int64_t d = 0; d < t->documents; d++) {
        int64_t n = length_of(t, d);
        count += n > sequence_length;
        if (n <= most) continue;
        longest = d;
        most = n;
    }
    if (count == 0) return MO_OK;
    return mo_error(
        MO_E_RANGE,
        "document %lld has %lld tokens, a window of whole documents has room for %lld (%lld of %lld "
        "documents are too long); ask for a longer train.sequence_length (--sequence-length), or "
        "prepare the file with --max-length %lld --truncate",
        (long long)longest, (long long)most, (long long)sequence_length, (long long)count,
        (long long)t->documents, (long long)sequence_length);
}

/* Counting sort: the longest first, equals in order. start[L + 1] is scratch. */
static void sort_documents(const mo_tokens *t, int64_t L, int64_t *start, int64_t *sorted)
{
    memset(start, 0, (size_t)(L + 1) * sizeof *start);
    for (int64_t d = 0; d < t->documents; d++) start[length_of(t, d)]++;
    for (int64_t n = L, at = 0; n >= 0; n--) {
        int64_t count = start[n];
        start[n] = at;
        at += count;
    }
    for (int64_t d = 0; d < t->documents; d++) sorted[start[length_of(t, d)]++] = d;
}

/* ---- best fit ---- */

/* window[d] of each document; returns how many windows there are. newest[L + 1] and next[D] are lists of the
 * windows with equal room, the newest first. */
static int64_t fill_windows(const mo_tokens *t, int64_t L, const int64_t *sorted, room_set *rooms,
                            int64_t *newest, int64_t *next, int64_t *window)
{
    int64_t windows = 0;
    for (int64_t room = 0; room <= L; room++) newest[room] = -1;
    for (int64_t k = 0; k < t->documents; k++) {
        int64_t n = length_of(t, sorted[k]), room = room_set_next(rooms, n), w = windows;
        if (room < 0) {
            room = L;
            windows++;
        } else {
            w = newest[room];
            if ((newest[room] = next[w]) < 0) room_set_remove(rooms, room);
        }
        window[sorted[k]] = w;
        room -= n;
        if (newest[room] < 0 && room > 0) room_set_add(rooms, room);
        next[w] = newest[room];
        newest[room] = w;
    }
    return windows;
}

/* Numbers windows by their first document, and lists what each holds. place[windows] is scratch. */
static void list_windows(const int64_t *window, int64_t *place, mo_packing *p)
{
    int64_t count = 0;
    memset(p->first, 0, (size_t)(p->windows + 1) * sizeof *p->first);
    for (int64_t w = 0; w < p->windows; w++) place[w] = -1;
    for (int64_t d = 0; d < p->documents; d++) {
        if (place[window[d]] < 0) place[window[d]] = count++;
        p->first[place[window[d]] + 1]++;
    }
    for (int64_t w = 0; w < p->windows; w++) p->first[w + 1] += p->first[w];
    for (int64_t d = 0; d < p->documents; d++) p->document[p->first[place[window[d]]]++] = d;
    memmove(p->first + 1, p->first, (size_t)p->windows * sizeof *p->first); /* each was moved to its end */
    p->first[0] = 0;
}

static mo_status pack(const mo_tokens *t, int64_t L, int64_t *scratch, room_set *rooms, mo_packing *p)
{
    size_t D = (size_t)t->documents;
    int64_t *next = scratch, *window = scratch + D, *newest = window + D;
    if (!(p->document = mo_malloc(D * sizeof *p->document))) return MO_E_MEMORY;
    sort_documents(t, L, newest, p->document);
    p->windows = fill_windows(t, L, p->document, rooms, newest, next, window);
    if (!(p->first = mo_malloc((size_t)(p->windows + 1) * sizeof *p->first))) return MO_E_MEMORY;
    list_windows(window, next, p);
    return MO_OK;
}

mo_status mo_packing_create(const mo_tokens *tokens, int64_t sequence_length, mo_packing *out)
{
    *out = (mo_packing){
        .sequence_length = sequence_length, .documents = tokens->documents, .tokens = tokens->count};
    if (sequence_length < 1 || sequence_length > INT32_MAX)
        return mo_error(MO_E_RANGE, "windows of %lld tokens; a window has 1 to %d",
                        (long long)sequence_length, INT32_MAX);
    MO_TRY(mo__packing_fits(tokens, sequence_length));
    room_set rooms;
    MO_TRY(room_set_create(sequence_length + 1, &rooms));
    size_t words = 2 * (size_t)tokens->documents + (size_t)sequence_length + 1;
    int64_t *scratch = mo_malloc(words * sizeof *scratch);
    mo_status status = scratch ? pack(tokens, sequence_length, scratch, &rooms, out) : MO_E_MEMORY;
    mo_free(scratch);
    mo_free(rooms.word[0]);
    if (status != MO_OK) mo_packing_free(out);
    return status;
}

void mo_packing_free(mo_packing *p)
{
    mo_free(p->document);
    mo_free(p->first);
    *p = (mo_packing){0};
}

double mo_packing_fill(const mo_packing *p)
{
    return p->windows > 0 ? (double)p->tokens / ((double)p->windows * (double)p->sequence_length) : 0;
}

uint64_t mo__packing_bytes(int64_t documents, int64_t sequence_length)
{
    uint64_t D = (uint64_t)documents,
             L = (uint64_t)sequence_length; /* as many windows as documents, at most */
    return (4 * D + L) * sizeof(int64_t) + L / 8;
}
