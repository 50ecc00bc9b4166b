/* corpus_reader.c -- files are read in blocks behind one another; records are ranges of what was read. What a
 * batch leaves unused begins the next one. */
#include "corpus_reader.h"

#include <string.h>

#include "corpus_cut.h"
#include "corpus_stream.h"

enum { BLOCK = MO__CORPUS_PIECE, MOST_RECORDS = 1 << 16 };
/* More than any tokenizer takes that cannot cut it: it is what says so. */
static const size_t LONGEST_PIECE = (size_t)64 << 20;
static const size_t LONGEST_LINE = (size_t)1 << 30;

struct mo__reader {
    mo__reader_plan plan;
    size_t separator; /* its bytes, 0 without one */
    int64_t file;     /* the one that is open, or comes next */
    mo__stream *stream;
    uint64_t stored; /* of the files before */
    int64_t marks;
    char *carry; /* bytes of the open file that are in no record yet */
    size_t carried, carry_room;

    size_t parsed;   /* bytes of the batch that are in records or left out */
    size_t searched; /* of what is behind them: without a line's end */
    size_t piece;    /* bytes at which a text is cut */
    int64_t line;    /* lines of the open file so far */
    bool inside;     /* a document of the open file has begun */
    bool recorded;   /* the open file gave a record */
    bool separated;  /* a separator was the last thing */
    bool at_end;     /* of the open file: all of it is in the batch */
};

mo_status mo__reader_open(const mo__reader_plan *plan, mo__reader **out)
{
    mo__reader *r = *out = mo_calloc(1, sizeof *r);
    if (!r) return MO_E_MEMORY;
    r->plan = *plan;
    r->separator = plan->separator ? strlen(plan->separator) : 0;
    r->piece = MO__CORPUS_PIECE;
    return MO_OK;
}

void mo__reader_close(mo__reader *r)
{
    if (!r) return;
    mo__stream_close(r->stream);
    mo_free(r->carry);
    mo_free(r);
}

void mo__records_free(mo__records *batch)
{
    mo_free(batch->bytes);
    mo_free(batch->at);
    *batch = (mo__records){0};
}

/* ---- memory ---- */

static mo_status grow_bytes(char **bytes, size_t *room, size_t wanted)
{
    if (wanted <= *room) return MO_OK;
    size_t larger = 2 * *room > wanted ? 2 * *room : wanted;
    char *grown = mo_realloc(*bytes, larger);
    if (!grown) return MO_E_MEMORY;
    *bytes = grown;
    *room = larger;
    return MO_OK;
}

/* One more record of the next `size` bytes, and `skipped` bytes behind them that are in none. */
static mo_status add_record(mo__reader *r, mo__records *b, size_t size, size_t skipped, bool ends)
{
    if (b->count == b->records_room) {
        int64_t room = b->records_room ? 2 * b->records_room : 64;
        mo__record *grown = mo_realloc(b->at, (size_t)room * sizeof *grown);
        if (!grown) return MO_E_MEMORY;
        b->at = grown;
        b->records_room = room;
    }
    b->at[b->count++] = (mo__record){.at = r->parsed,
                                     .size = size,
                                     .file = &r->plan.files[r->file],
                                     .line = r->line,
                                     .begins = !r->inside,
                                     .ends = ends,
                                     .first = !r->recorded};
    r->inside = !ends;
    r->recorded = true;
    r->parsed += size + skipped;
    r->searched = 0;
    return MO_OK;
}

/* ---- texts ---- */

/* A line's end right behind a separator belongs to it. False: that cannot be told yet. */
static bool skip_line_end(mo__reader *r, const char *text, size_t left)
{
    size_t skip = left >= 1 && text[0] == '\n' ? 1 : left >= 2 && !memcmp(text, "\r\n", 2) ? 2 : 0;
    if (skip == 0 && left < 2 && !r->at_end) return false;
    r->parsed += skip;
    r->separated = false;
    return true;
}

static mo_status take_text(mo__reader *r, mo__records *b, bool *taken);

static mo_status cut_piece(mo__reader *r, mo__records *b, const char *text, bool *taken)
{
    size_t size = mo__corpus_cut(r->plan.tokenizer, text, r->piece);
    if (size == 0 && r->piece < LONGEST_PIECE) {
        r->piece *= 2;
        return take_text(r, b, taken);
    }
    if (size == 0) size = mo__corpus_character(text, r->piece);
    r->piece = MO__CORPUS_PIECE;
    *taken = true;
    return add_record(r, b, size, 0, false);
}

static mo_status take_text(mo__reader *r, mo__records *b, bool *taken)
{
    size_t left = b->used - r->parsed;
    if (r->separated && !skip_line_end(r, b->bytes + r->parsed, left)) return MO_OK;
    const char *text = b->bytes + r->parsed;
    left = b->used - r->parsed;
    /* No separator begins within the piece and ends behind the window. */
    size_t window = r->piece + r->separator;
    bool more = left > window;
    const char *found =
        r->separator ? memmem(text, more ? window : left, r->plan.separator, r->separator) : NULL;
    if (found) {
        r->separated = *taken = true;
        return add_record(r, b, (size_t)(found - text), r->separator, true);
    }
    if (more) return cut_piece(r, b, text, taken);
    if (!r->at_end) return MO_OK;
    *taken = left > 0 || !r->recorded; /* a piece is never cut at the end: left > 0 inside a document */
    return *taken ? add_record(r, b, left, 0, true) : MO_OK;
}

/* ---- lines ---- */

static bool is_blank(const char *line, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (!strchr(" \t\r", line[i])) return false;
    return true;
}

static mo_status take_line(mo__reader *r, mo__records *b, bool *taken)
{
    for (;;) {
        const char *text = b->bytes + r->parsed;
        size_t left = b->used - r->parsed;
        const char *end = memchr(text + r->searched, '\n', left - r->searched);
        if (!end && left > LONGEST_LINE)
            return mo_error(MO_E_FORMAT, "%s: line %lld is longer than 1 GiB, the most that one may have",
                            r->plan.files[r->file].path, (long long)r->line + 1);
        r->searched = left;
        if (!end && (!r->at_end || left == 0)) return MO_OK;
        size_t size = end ? (size_t)(end - text) : left;
        r->line++;
        *taken = !is_blank(text, size);
        if (*taken) return add_record(r, b, size, end ? 1 : 0, true);
        r->parsed += size + (end ? 1 : 0);
        r->searched = 0;
    }
}

/* ---- files ---- */

static mo_status open_next(mo__reader *r)
{
    MO_TRY(mo__stream_open(&r->plan.files[r->file], &r->stream));
    r->line = 0;
    r->searched = 0;
    r->inside = r->recorded = r->separated = r->at_end = false;
    return MO_OK;
}

static void close_file(mo__reader *r)
{
    r->stored += mo__stream_stored(r->stream);
    r->marks += mo__stream_had_mark(r->stream);
    mo__stream_close(r->stream);
    r->stream = NULL;
    r->file++;
}

static mo_status read_block(mo__reader *r, mo__records *b)
{
    size_t got;
    MO_TRY(grow_bytes(&b->bytes, &b->room, b->used + BLOCK));
    MO_TRY(mo__stream_read(r->stream, b->bytes + b->used, BLOCK, &got));
    b->used += got;
    r->at_end = got < BLOCK;
    return MO_OK;
}

/* A record, or more bytes, or the next file. */
static mo_status go_on(mo__reader *r, mo__records *b)
{
    bool taken = false;
    if (!r->stream) return open_next(r);
    MO_TRY(r->plan.files[r->file].jsonl ? take_line(r, b, &taken) : take_text(r, b, &taken));
    if (taken) return MO_OK;
    if (!r->at_end) return read_block(r, b);
    close_file(r);
    return MO_OK;
}

static mo_status keep_rest(mo__reader *r, const mo__records *b)
{
    r->carried = b->used - r->parsed;
    MO_TRY(grow_bytes(&r->carry, &r->carry_room, r->carried));
    if (r->carried) memcpy(r->carry, b->bytes + r->parsed, r->carried);
    return MO_OK;
}

static bool at_last(const mo__reader *r)
{
    return !r->stream && r->file == r->plan.n_files;
}

mo_status mo__reader_next(mo__reader *r, mo__records *b)
{
    b->used = r->carried;
    b->count = 0;
    r->parsed = 0;
    MO_TRY(grow_bytes(&b->bytes, &b->room, r->carried + BLOCK));
    if (r->carried) memcpy(b->bytes, r->carry, r->carried);
    while (r->parsed < MO__CORPUS_BATCH && b->count < MOST_RECORDS && !at_last(r)) MO_TRY(go_on(r, b));
    b->stored = r->stored + (r->stream ? mo__stream_stored(r->stream) : 0);
    b->marks = r->marks + (r->stream && mo__stream_had_mark(r->stream));
    b->last = at_last(r);
    return keep_rest(r, b);
}
