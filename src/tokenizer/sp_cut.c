/* sp_cut.c -- a set of the pairs of characters that some piece joins. */
#include "sp_cut.h"

#include "base/utf8.h"

static const uint32_t SPACE = 0x20, WORD_MARK = 0x2581;

/* Members of the set, first << 32 | second: two characters that stand next to each other in a piece; a
 * character and ANY, where another follows it in some piece; a character and NONE, where it is a piece alone.
 */
static const uint64_t ANY = UINT64_C(1) << 31, NONE = UINT64_C(1) << 30;

struct mo__sp_cuts {
    bool byte_fallback;
    uint64_t *slots; /* open addressing; 0 is free */
    size_t mask, used;
};

static size_t slot_of(const mo__sp_cuts *c, uint64_t member)
{
    size_t i = (size_t)((member * UINT64_C(0x9E3779B97F4A7C15)) >> 20) & c->mask;
    while (c->slots[i] && c->slots[i] != member) i = (i + 1) & c->mask;
    return i;
}

static bool has(const mo__sp_cuts *c, uint64_t member)
{
    return c->slots[slot_of(c, member)] == member;
}

static mo_status grow(mo__sp_cuts *c)
{
    mo__sp_cuts larger = {.mask = 2 * c->mask + 1};
    larger.slots = mo_calloc(larger.mask + 1, sizeof *larger.slots);
    if (!larger.slots) return MO_E_MEMORY;
    for (size_t i = 0; c->slots && i <= c->mask; i++)
        if (c->slots[i]) larger.slots[slot_of(&larger, c->slots[i])] = c->slots[i];
    mo_free(c->slots);
    c->slots = larger.slots;
    c->mask = larger.mask;
    return MO_OK;
}

static mo_status add(mo__sp_cuts *c, uint64_t member)
{
    if (!c->slots || 2 * c->used > c->mask) MO_TRY(grow(c));
    size_t i = slot_of(c, member);
    c->used += c->slots[i] == 0;
    c->slots[i] = member;
    return MO_OK;
}

/* The character at text[size], 0 bytes if it is none; a space is a word mark to the model. */
static int character(const char *text, size_t size, uint64_t *out)
{
    uint32_t point = 0;
    int length = size ? mo__utf8_at(text, size, &point) : 0;
    *out = point == SPACE ? WORD_MARK : point;
    return length;
}

static mo_status add_piece(mo__sp_cuts *c, mo__sp_text text)
{
    uint64_t first, second;
    size_t at = (size_t)character(text.at, text.size, &first);
    if (at == text.size) return add(c, first << 32 | NONE);
    for (; at < text.size; first = second) {
        at += (size_t)character(text.at + at, text.size - at, &second);
        MO_TRY(add(c, first << 32 | second));
        MO_TRY(add(c, first << 32 | ANY));
    }
    return MO_OK;
}

static bool can_be_cut(const mo__sp_model *m)
{
    if (m->model_type != MO__SP_BPE || m->charsmap.size || m->remove_spaces) return false;
    if (m->suffix && m->dummy_prefix) return false;
    for (int64_t i = 0; i < m->count; i++)
        if (m->pieces[i].type == MO__SP_UNUSED) return false;
    return true;
}

mo_status mo__sp_cuts_make(const mo__sp_model *m, mo__sp_cuts **out)
{
    *out = NULL;
    if (!can_be_cut(m)) return MO_OK;
    mo__sp_cuts *c = mo_calloc(1, sizeof *c);
    if (!c) return MO_E_MEMORY;
    c->byte_fallback = m->byte_fallback;
    c->mask = 2047;
    mo_status status = grow(c);
    for (int64_t i = 0; status == MO_OK && i < m->count; i++)
        if (m->pieces[i].type == MO__SP_NORMAL || m->pieces[i].type == MO__SP_USER_DEFINED)
            status = add_piece(c, m->pieces[i].text);
    if (status != MO_OK) {
        mo__sp_cuts_free(c);
        return status;
    }
    *out = c;
    return MO_OK;
}

void mo__sp_cuts_free(mo__sp_cuts *c)
{
    if (c) mo_free(c->slots);
    mo_free(c);
}

/* Between the characters a and b; b may be ANY. */
static bool separates(const mo__sp_cuts *c, uint64_t a, uint64_t b)
{
    if (has(c, a << 32 | b)) return false;
    return c->byte_fallback || has(c, a << 32 | NONE) || has(c, b << 32 | NONE);
}

/* The character that ends at text[end]: one to four bytes. A byte that does not go on a character begins one,
 * so stepping back to it finds what reading from the start would; and behind a whole character another
 * begins. */
static bool character_before(const char *text, size_t end, uint64_t *out)
{
    for (size_t length = 1; length <= 4 && length <= end; length++)
        if (((unsigned char)text[end - length] & 0xC0) != 0x80)
            return character(text + end - length, length, out) == (int)length;
    return false;
}

size_t mo__sp_cut(const mo__sp_cuts *c, const char *text, size_t size)
{
    for (size_t end = c ? size : 0; end > 0; end--) {
        uint64_t before, after;
        if (character(text + end, size - end, &after) == 0) after = ANY;
        if (character_before(text, end, &before) && separates(c, before, after)) return end;
    }
    return 0;
}
