/* sp_kind.c -- the kind "sentencepiece": the library encodes, tables made from the model do the rest. */
#include <string.h>

#include "sentencepiece_shim.h"
#include "sp_cut.h"
#include "sp_model.h"
#include "tokenizer_kind.h"

static const char WORD_MARK[] = "\xE2\x96\x81"; /* U+2581 */
enum { MARK = sizeof WORD_MARK - 1 };

typedef struct entry {
    size_t piece; /* in `pieces`: NUL-terminated, as the vocabulary has it */
    size_t text;  /* in `texts`: what it stands for inside a text */
    uint32_t text_size;
    uint8_t type; /* mo__sp_type */
    bool marked;  /* begins with the word mark */
    char byte;    /* of a byte piece */
} entry;

typedef struct sp {
    mo__sp_processor *first, *later; /* with the model's dummy prefix, and without */
    mo__sp_cuts *cuts;
    bool drops_mark, drops_all_marks; /* of those in front of everything: the first, or all */
    entry *entries;
    char *pieces, *texts;
} sp;

/* The two that are the same where no word mark is put in front. */
static void close_processors(sp *s)
{
    if (s->later != s->first) mo__sp_close(s->later);
    mo__sp_close(s->first);
}

static void stop(mo_tokenizer *t)
{
    sp *s = t->state;
    if (!s) return;
    close_processors(s);
    mo__sp_cuts_free(s->cuts);
    mo_free(s->entries);
    mo_free(s->pieces);
    mo_free(s->texts);
    mo_free(s);
    t->state = NULL;
}

/* ---- start ---- */

static mo_status open_processors(mo_tokenizer *t, sp *s, const mo__sp_model *m)
{
    size_t size, later_size;
    char *later = NULL;
    const void *blob = mo_tokenizer_blob(t, &size);
    MO_TRY(mo__sp_open(blob, size, &s->first));
    s->later = s->first;
    if (!m->dummy_prefix) return MO_OK;
    MO_TRY(mo__sp_model_continuing(blob, size, &later, &later_size));
    s->later = NULL;
    mo_status status = mo__sp_open(later, later_size, &s->later);
    mo_free(later);
    return status;
}

/* Writes the text of a piece, word marks as spaces; returns its end. */
static char *write_text(mo__sp_text piece, char *to)
{
    for (size_t i = 0; i < piece.size;) {
        bool mark = piece.size - i >= MARK && memcmp(piece.at + i, WORD_MARK, MARK) == 0;
        *to++ = mark ? ' ' : piece.at[i];
        i += mark ? MARK : 1;
    }
    return to;
}

static int hex_digit(char c)
{
    return c <= '9' ? c - '0' : c - 'A' + 10;
}

/* Byte pieces are written <0x0A>; the library has refused others. */
static void fill_entry(sp *s, int64_t id, const mo__sp_piece *p, size_t at, size_t *texts_used,
                       mo__sp_text unknown)
{
    entry *e = &s->entries[id];
    *e = (entry){.piece = at, .text = *texts_used, .type = (uint8_t)p->type};
    memcpy(s->pieces + at, p->text.at, p->text.size);
    s->pieces[at + p->text.size] = '\0';
    char *to = s->texts + *texts_used, *end = to;
    if (p->type == MO__SP_BYTE) {
        e->byte = (char)(hex_digit(p->text.at[3]) << 4 | hex_digit(p->text.at[4]));
    } else if (p->type == MO__SP_UNKNOWN) {
        memcpy(to, unknown.at, unknown.size);
        end = to + unknown.size;
    } else if (p->type != MO__SP_CONTROL) {
        end = write_text(p->text, to);
        e->marked = p->text.size >= MARK && memcmp(p->text.at, WORD_MARK, MARK) == 0;
    }
    e->text_size = (uint32_t)(end - to);
    *texts_used += (size_t)(end - to);
}

static mo_status make_entries(mo_tokenizer *t, sp *s, const mo__sp_model *m)
{
    size_t pieces = 0, longest = m->unk_surface.size, texts = longest, at = 0, used = 0;
    for (int64_t i = 0; i < m->count; i++) {
        size_t size = m->pieces[i].text.size;
        pieces += size + 1;
        texts += size;
        longest = size > longest ? size : longest;
    }
    s->entries = mo_malloc((size_t)m->count * sizeof *s->entries);
    s->pieces = mo_malloc(pieces);
    s->texts = mo_malloc(texts);
    if (!s->entries || !s->pieces || !s->texts) return MO_E_MEMORY;
    for (int64_t i = 0; i < m->count; at += m->pieces[i++].text.size + 1)
        fill_entry(s, i, &m->pieces[i], at, &used, m->unk_surface);
    t->most_text = longest + 12;
    return MO_OK;
}

static mo_status start_from(mo_tokenizer *t, sp *s, const mo__sp_model *m)
{
    MO_TRY(mo__sp_model_check(m));
    MO_TRY(open_processors(t, s, m));
    MO_TRY(mo__sp_cuts_make(m, &s->cuts));
    MO_TRY(make_entries(t, s, m));
    s->drops_mark = m->dummy_prefix || m->remove_spaces;
    s->drops_all_marks = m->remove_spaces;
    t->vocab_size = m->count;
    t->bos = mo__sp_bos(s->first);
    t->eos = mo__sp_eos(s->first);
    return MO_OK;
}

static mo_status start(mo_tokenizer *t)
{
    size_t size;
    mo__sp_model m;
    const void *blob = mo_tokenizer_blob(t, &size);
    mo_status status = mo__sp_model_read(blob, size, &m);
    if (status != MO_OK) return mo_error_context(status, "tokenizer model");
    sp *s = t->state = mo_calloc(1, sizeof *s);
    status = s ? start_from(t, s, &m) : MO_E_MEMORY;
    mo__sp_model_free(&m);
    if (status == MO_OK) return MO_OK;
    stop(t);
    return mo_error_context(status, "tokenizer model");
}

/* ---- text to ids ---- */

/* The library takes 110 to 340 bytes for one of text (measured), and does not bear to be refused a small part
 * of it: so a long piece is only begun where there is room. Short ones are not worth the question. */
static mo_status check_room(size_t size)
{
    enum { LONG = 1 << 20, FACTOR = 250 };
    if (size < LONG) return MO_OK;
    uint64_t needed = (uint64_t)FACTOR * size, available = mo_memory_available();
    void *room = mo_malloc(needed);
    if (!room) return MO_E_MEMORY;
    mo_free(room);
    if (available == 0 || needed <= available) return MO_OK;
    return mo_error(
        MO_E_MEMORY,
        "tokenizer: %zu bytes of text that cannot be cut need %llu MB of memory to encode, and %llu MB are "
        "available; cut the text into documents",
        size, (unsigned long long)(needed / 1000000), (unsigned long long)(available / 1000000));
}

static mo_status encode(const mo_tokenizer *t, const mo_text_piece *piece, int32_t **ids, int64_t *count)
{
    const sp *s = t->state;
    MO_TRY(check_room(piece->size));
    return mo__sp_encode(piece->continues ? s->later : s->first, piece->text, piece->size, ids, count);
}

static size_t cut(const mo_tokenizer *t, const char *text, size_t size)
{
    const sp *s = t->state;
    return mo__sp_cut(s->cuts, text, size);
}

/* ---- ids to text, as SentencePiece's Decode does it ---- */

static size_t decode(const mo_tokenizer *t, mo__decoding *state, int32_t id, char *out)
{
    const sp *s = t->state;
    if (id < 0) return mo__decoding_flush(state, true, out);
    const entry *e = &s->entries[id];
    bool byte = e->type == MO__SP_BYTE;
    size_t size = byte ? mo__decoding_byte(state, e->byte, true, out) : mo__decoding_flush(state, true, out);
    if (size > 0) state->started = true;
    if (byte) return size;
    bool drop = e->marked && s->drops_mark && !state->started;
    size_t text_size = e->text_size - drop;
    memcpy(out + size, s->texts + e->text + drop, text_size);
    if (text_size > 0 || (drop && !s->drops_all_marks)) state->started = true;
    return size + text_size;
}

static int64_t token_bytes(const mo_tokenizer *t, int32_t id)
{
    const sp *s = t->state;
    const entry *e = &s->entries[id];
    return e->type == MO__SP_BYTE || e->type == MO__SP_UNKNOWN ? 1 : e->text_size;
}

static const char *piece(const mo_tokenizer *t, int32_t id)
{
    const sp *s = t->state;
    return s->pieces + s->entries[id].piece;
}

const mo__tokenizer_kind mo__tokenizer_sentencepiece_kind = {
    .name = "sentencepiece",
    .grain = 2048,
    .start = start,
    .stop = stop,
    .encode = encode,
    .cut = cut,
    .decode = decode,
    .token_bytes = token_bytes,
    .piece = piece,
};
