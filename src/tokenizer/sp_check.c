/* sp_check.c -- what the SentencePiece library takes for granted of a model, checked before it sees one. It
 * reads past arrays or ends the process otherwise (found by changing bytes of real models). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sp_model.h"

/* The library's tries are built by recursion over a piece's bytes. */
static const size_t LONGEST_PIECE = 4096;
/* It keeps at most so many matches that begin at one place. */
enum { MOST_NESTED_SYMBOLS = 64, MOST_NESTED_RULES = 32 };

static mo_status check_piece(const mo__sp_piece *p, int64_t id)
{
    const char *what = NULL;
    if (p->text.size == 0) what = "is empty";
    if (memchr(p->text.at, '\0', p->text.size)) what = "has a NUL";
    if (mo_utf8_invalid(p->text.at, p->text.size) > 0) what = "is not UTF-8";
    if (!isfinite(p->score)) what = "has a score that is no number";
    if (what) return mo_error(MO_E_CORRUPT, "pieces: piece %lld %s", (long long)id, what);
    if (p->text.size > LONGEST_PIECE)
        return mo_error(MO_E_UNSUPPORTED, "pieces: piece %lld has %zu bytes, at most %zu are taken",
                        (long long)id, p->text.size, LONGEST_PIECE);
    return MO_OK;
}

static int by_bytes(const void *a, const void *b)
{
    const mo__sp_text *x = a, *y = b;
    size_t least = x->size < y->size ? x->size : y->size;
    int order = memcmp(x->at, y->at, least);
    return order ? order : (x->size > y->size) - (x->size < y->size);
}

static bool begins_with(mo__sp_text text, mo__sp_text head)
{
    return head.size <= text.size && memcmp(text.at, head.at, head.size) == 0;
}

/* Sorted, a symbol stands behind its prefixes: the chain of those that begin the current one is a stack. */
static mo_status check_nesting(mo__sp_text *symbols, int64_t count)
{
    mo__sp_text chain[MOST_NESTED_SYMBOLS];
    int depth = 0;
    qsort(symbols, (size_t)count, sizeof *symbols, by_bytes);
    for (int64_t i = 0; i < count; i++) {
        while (depth > 0 && !begins_with(symbols[i], chain[depth - 1])) depth--;
        if (depth == MOST_NESTED_SYMBOLS)
            return mo_error(MO_E_UNSUPPORTED, "pieces: more than %d user-defined symbols begin one another",
                            MOST_NESTED_SYMBOLS);
        chain[depth++] = symbols[i];
    }
    return MO_OK;
}

static mo_status check_symbols(const mo__sp_model *m)
{
    mo__sp_text *symbols = mo_malloc((size_t)m->count * sizeof *symbols);
    if (!symbols) return MO_E_MEMORY;
    int64_t count = 0;
    for (int64_t i = 0; i < m->count; i++)
        if (m->pieces[i].type == MO__SP_USER_DEFINED) symbols[count++] = m->pieces[i].text;
    mo_status status = check_nesting(symbols, count);
    mo_free(symbols);
    return status;
}

/* ---- normalization rules: uint32 size, a double-array trie of that size, NUL-terminated results ----
 *
 * A unit of the trie (Darts-clone): bits 0-7 the label by which it is reached, bit 8 whether a rule ends
 * here, bits 9-30 an offset; the children of the unit at i are at (i ^ offset) ^ label, the rule's value at
 * i ^ offset. */

typedef struct trie {
    const unsigned char *units;
    uint32_t count;
    size_t results;  /* bytes of results */
    uint8_t *nested; /* per unit, once it has been looked at: 1 + the most rules on a way on from it */
} trie;

enum { UNSOUND = -1, UNDER_WAY = 255, LONGEST_RULE = 1024 };

static uint32_t load32(const unsigned char *bytes)
{
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

static uint32_t unit_at(const trie *t, uint32_t i)
{
    return load32(t->units + 4 * (size_t)i);
}

static int most_nested(trie *t, uint32_t at, int depth);

/* The children of the unit at `at`, which share the base; `ends`: a rule ends there. */
static int most_nested_below(trie *t, uint32_t base, bool ends, int depth)
{
    int most = 0;
    if ((base | 0xFF) >= t->count) return UNSOUND;
    if (ends && (unit_at(t, base) & ~(1u << 31)) >= t->results) return UNSOUND;
    for (uint32_t label = 0; label < 256; label++) {
        uint32_t child = base ^ label;
        if ((unit_at(t, child) & (1u << 31 | 0xFF)) != label) continue;
        int below = most_nested(t, child, depth + 1);
        if (below == UNSOUND) return UNSOUND;
        most = below > most ? below : most;
    }
    return most + ends <= MOST_NESTED_RULES ? most + ends : UNSOUND;
}

/* The most rules that begin one another from here on; ways may meet again (ends are shared), never go round.
 */
static int most_nested(trie *t, uint32_t at, int depth)
{
    if (t->nested[at] == UNDER_WAY || depth > LONGEST_RULE) return UNSOUND;
    if (t->nested[at]) return t->nested[at] - 1;
    uint32_t unit = unit_at(t, at);
    t->nested[at] = UNDER_WAY;
    int most = most_nested_below(t, at ^ (unit >> 10 << ((unit & (1u << 9)) >> 6)), unit >> 8 & 1, depth);
    if (most != UNSOUND) t->nested[at] = (uint8_t)(most + 1);
    return most;
}

static mo_status check_rules(mo__sp_text map)
{
    static const char WHAT[] = "normalizer_spec: the normalization rules are damaged";
    if (map.size == 0) return MO_OK;
    const unsigned char *bytes = (const unsigned char *)map.at;
    uint32_t size = map.size > 4 ? load32(bytes) : 0;
    if (size == 0 || size >= map.size - 4) return mo_error(MO_E_CORRUPT, "%s", WHAT);
    trie t = {bytes + 4, size / 4, map.size - 4 - size, NULL};
    if (t.count < 256) return mo_error(MO_E_CORRUPT, "%s", WHAT);
    t.nested = mo_calloc(t.count, 1);
    if (!t.nested) return MO_E_MEMORY;
    bool sound = most_nested(&t, 0, 0) != UNSOUND;
    mo_free(t.nested);
    return sound ? MO_OK : mo_error(MO_E_CORRUPT, "%s", WHAT);
}

mo_status mo__sp_model_check(const mo__sp_model *m)
{
    for (int64_t i = 0; i < m->count; i++) MO_TRY(check_piece(&m->pieces[i], i));
    if (m->denormalizer.size > 0)
        return mo_error(MO_E_UNSUPPORTED,
                        "denormalizer_spec: has rules; only models without are decoded here");
    MO_TRY(check_symbols(m));
    return check_rules(m->charsmap);
}
