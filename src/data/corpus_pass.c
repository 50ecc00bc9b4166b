/* corpus_pass.c -- batches are read ahead, their lines parsed, their texts given to splits and cut into
 * pieces. */
#include "corpus_pass.h"

#include "corpus_ahead.h"
#include "corpus_cut.h"
#include "corpus_split.h"
#include "tokenizer/tokenizer_kind.h"

struct mo__pass {
    mo__pass_plan plan;
    mo__reader *reader;
    mo__ahead *ahead;
    mo__texts texts;
    mo__piece *pieces;
    int64_t count, room;
    int64_t document; /* documents that began, less 1 */
    int64_t passed;   /* bytes of text so far */
    int64_t cut;      /* of the only document: bytes that train; -1 where documents are split whole */
    int64_t empty, marks;
};

mo_status mo__pass_open(const mo__pass_plan *plan, mo__pass **out)
{
    mo__pass *p = *out = mo_calloc(1, sizeof *p);
    if (!p) return MO_E_MEMORY;
    p->plan = *plan;
    p->document = -1;
    p->texts.tells = plan->tells;
    p->cut = plan->size.documents == 1 && plan->validation > 0
                 ? mo__split_bytes(plan->validation, plan->size.bytes)
                 : -1;
    mo__reader_plan reader = {.files = plan->files->at,
                              .n_files = plan->files->count,
                              .separator = plan->corpus->separator,
                              .tokenizer = plan->tokenizer};
    mo_status status = mo__reader_open(&reader, &p->reader);
    if (status == MO_OK) status = mo__ahead_start(p->reader, &p->ahead);
    if (status == MO_OK) return MO_OK;
    mo__pass_close(p);
    *out = NULL;
    return status;
}

void mo__pass_close(mo__pass *p)
{
    if (!p) return;
    mo__texts_free(&p->texts);
    mo__ahead_stop(p->ahead);
    mo__reader_close(p->reader);
    mo_free(p->pieces);
    mo_free(p);
}

void mo__pass_facts(const mo__pass *p, mo_corpus_facts *facts, int64_t *marks)
{
    facts->empty_documents += p->empty;
    facts->bad_lines += p->texts.bad;
    facts->invalid_utf8 += p->texts.invalid;
    *marks = p->marks;
}

/* ---- pieces ---- */

static mo_status add_piece(mo__pass *p, mo__piece piece)
{
    if (p->count == p->room) {
        int64_t room = p->room ? 2 * p->room : 256;
        mo__piece *grown = mo_realloc(p->pieces, (size_t)room * sizeof *grown);
        if (!grown) return MO_E_MEMORY;
        p->pieces = grown;
        p->room = room;
    }
    p->pieces[p->count++] = piece;
    return MO_OK;
}

/* The only document is cut at a byte where ids are bytes, else at the character that the byte is of. */
static mo_status add_by_position(mo__pass *p, mo__piece piece)
{
    int64_t start = p->passed, end = start + (int64_t)piece.size;
    bool bytes = p->plan.tokenizer && mo__tokenizer_byte_ids(p->plan.tokenizer);
    if (p->cut <= start) {
        piece.split = MO_SPLIT_VALIDATION;
        return add_piece(p, piece);
    }
    if (p->cut > end || (p->cut == end && piece.ends)) return add_piece(p, piece);
    size_t size = (size_t)(p->cut - start);
    if (!bytes && size < piece.size) size = mo__corpus_character(piece.text, size);
    mo__piece rest = piece, begin = piece;
    rest.text += size;
    rest.size -= size;
    rest.split = MO_SPLIT_VALIDATION;
    rest.begins = false;
    begin.size = size;
    begin.ends = false;
    begin.closes = true;
    MO_TRY(add_piece(p, begin));
    return rest.size ? add_piece(p, rest) : MO_OK;
}

static mo_status add(mo__pass *p, const mo__record *r, const mo__record_text *t)
{
    if (!t->text) return MO_OK;
    if (r->begins && r->ends && t->size == 0) {
        p->empty++;
        return MO_OK;
    }
    p->document += r->begins;
    mo__piece piece = {.text = t->text,
                       .size = t->size,
                       .begins = r->begins,
                       .ends = r->ends,
                       .closes = r->ends,
                       .talk = t->talk};
    if (p->cut < 0 && p->plan.size.documents > 1)
        piece.split = mo__split_of(p->plan.validation, p->plan.seed, p->document);
    MO_TRY(p->cut < 0 ? add_piece(p, piece) : add_by_position(p, piece));
    p->passed += (int64_t)t->size;
    return MO_OK;
}

mo_status mo__pass_next(mo__pass *p, mo__pieces *out)
{
    const mo__records *batch;
    *out = (mo__pieces){.at = NULL};
    if (p->plan.stop && *p->plan.stop) return mo_error(MO_E_INTERRUPTED, "interrupted");
    mo_status status = mo__ahead_next(p->ahead, &batch);
    if (status == MO_OK) status = mo__texts_parse(p->plan.corpus, batch, &p->texts);
    p->count = 0;
    for (int64_t i = 0; status == MO_OK && i < batch->count; i++)
        status = add(p, &batch->at[i], &p->texts.at[i]);
    if (status != MO_OK) return status;
    p->marks = batch->marks;
    *out = (mo__pieces){.at = p->pieces, .count = p->count, .last = batch->last, .stored = batch->stored};
    if (!batch->last || p->cut < 0 || p->passed == p->plan.size.bytes) return MO_OK;
    return mo_error(MO_E_IO, "%s: changed while it was read", p->plan.size.only->path);
}
