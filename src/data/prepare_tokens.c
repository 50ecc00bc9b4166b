/* prepare_tokens.c -- bytes go to the token file as they are; what has other ids is encoded a batch at a
 * time. A document begins and ends with the tokenizer's tokens for that, where it has any. */
#include "prepare_tokens.h"

#include "tokenizer/tokenizer_kind.h"

static const size_t SLICE = (size_t)256 << 10;

mo_status mo__prepare_tokens_start(mo__prepare_tokens *t)
{
    t->used = mo_calloc((size_t)mo_tokenizer_vocab_size(t->tokenizer), sizeof *t->used);
    if (!t->used) return MO_E_MEMORY;
    for (int i = 0; i < 2; i++) MO_TRY(mo__length_tally_create(&t->lengths[i]));
    return mo__prepare_talks_start(&t->talks);
}

void mo__prepare_tokens_free(mo__prepare_tokens *t)
{
    mo__prepare_talks_free(&t->talks);
    for (int i = 0; i < 2; i++) mo__length_tally_free(t->lengths[i]);
    mo_free(t->used);
}

void mo__prepare_tokens_sum(const mo__prepare_tokens *t, mo_prepare_summary *s)
{
    int64_t ids = mo_tokenizer_vocab_size(t->tokenizer);
    for (int64_t id = 0; id < ids; id++) s->facts.vocabulary_used += t->used[id];
    for (int i = 0; i < 2; i++) {
        mo__length_tally_sum(t->lengths[i], &s->lengths[i]);
        s->tokens[i] = s->lengths[i].tokens;
        s->documents[i] = s->lengths[i].documents;
        s->facts.text_bytes[i] = t->text_bytes[i];
    }
    s->facts.empty_documents += t->without;
    s->facts.bad_lines += t->talks.bad;
    mo__prepare_talks_sum(&t->talks, &s->talks);
}

static mo_status append_ids(mo__prepare_tokens *t, mo_split split, const int32_t *ids, int64_t count)
{
    MO_TRY(mo_tokenwriter_append(t->writer, split, ids, count)); /* checks them */
    for (int64_t i = 0; i < count; i++) t->used[ids[i]] = true;
    t->length[split] += count;
    return MO_OK;
}

static mo_status append_bytes(mo__prepare_tokens *t, const mo__piece *p)
{
    MO_TRY(mo_tokenwriter_append_bytes(t->writer, p->split, p->text, (int64_t)p->size));
    for (size_t i = 0; i < p->size; i++) t->used[(unsigned char)p->text[i]] = true;
    t->length[p->split] += (int64_t)p->size;
    return MO_OK;
}

static mo_status end_document(mo__prepare_tokens *t, mo_split split)
{
    MO_TRY(mo_tokenwriter_end_document(t->writer, split, 0));
    if (t->length[split] == 0) {
        t->without++; /* its text has no tokens */
        return MO_OK;
    }
    mo__length_tally_add(t->lengths[split], t->length[split]);
    t->length[split] = 0;
    return MO_OK;
}

static mo_status append_mark(mo__prepare_tokens *t, mo_split split, bool wanted, int32_t id)
{
    return wanted && id >= 0 ? append_ids(t, split, &id, 1) : MO_OK;
}

static mo_status append_encoded(mo__prepare_tokens *t, const mo__piece *p, const int32_t *ids, int64_t count)
{
    MO_TRY(append_mark(t, p->split, p->begins, mo_tokenizer_bos(t->tokenizer)));
    MO_TRY(append_ids(t, p->split, ids, count));
    return append_mark(t, p->split, p->ends, mo_tokenizer_eos(t->tokenizer));
}

static mo_status end_piece(mo__prepare_tokens *t, const mo__piece *p)
{
    t->text_bytes[p->split] += (int64_t)p->size;
    return p->closes ? end_document(t, p->split) : MO_OK;
}

static mo_status write_bytes(mo__prepare_tokens *t, const mo__pieces *pieces)
{
    for (int64_t i = 0; i < pieces->count; i++) {
        MO_TRY(append_bytes(t, &pieces->at[i]));
        MO_TRY(end_piece(t, &pieces->at[i]));
    }
    return MO_OK;
}

static mo_status write_encoded(mo__prepare_tokens *t, const mo__pieces *pieces, mo_text_piece *texts,
                               int64_t *counts)
{
    int32_t *ids;
    const int32_t *next;
    for (int64_t i = 0; i < pieces->count; i++) {
        const mo__piece *p = &pieces->at[i];
        texts[i] = (mo_text_piece){p->text, p->size, !p->begins};
    }
    MO_TRY(mo_tokenizer_encode_batch(t->tokenizer, texts, pieces->count, &ids, counts));
    mo_status status = MO_OK;
    next = ids;
    for (int64_t i = 0; status == MO_OK && i < pieces->count; i++) {
        status = append_encoded(t, &pieces->at[i], next, counts[i]);
        if (status == MO_OK) status = end_piece(t, &pieces->at[i]);
        next += counts[i];
    }
    mo_free(ids);
    return status;
}

static mo_status encode(mo__prepare_tokens *t, const mo__pieces *pieces)
{
    mo_text_piece *texts = mo_malloc((size_t)pieces->count * sizeof *texts);
    int64_t *counts = mo_malloc((size_t)pieces->count * sizeof *counts);
    mo_status status = texts && counts ? write_encoded(t, pieces, texts, counts) : MO_E_MEMORY;
    mo_free(texts);
    mo_free(counts);
    return status;
}

/* ---- conversations ---- */

static mo_status append_talk(mo__prepare_tokens *t, mo_split split, const mo__talk_tokens *one)
{
    const mo_chat_tokens *k = &one->tokens;
    MO_TRY(mo_tokenwriter_append_masked(t->writer, split, k->ids, k->mask, k->count));
    for (int64_t i = 0; i < k->count; i++) t->used[k->ids[i]] = true;
    t->length[split] += k->count;
    t->text_bytes[split] += one->text_bytes;
    return end_document(t, split);
}

static mo_status write_talks(mo__prepare_tokens *t, const mo__pieces *pieces)
{
    mo__talk_tokens *all = mo_calloc((size_t)pieces->count, sizeof *all);
    if (!all) return MO_E_MEMORY;
    mo_status status = mo__prepare_talks_encode(&t->talks, pieces, all);
    for (int64_t i = 0; status == MO_OK && i < pieces->count; i++)
        if (all[i].tokens.count) status = append_talk(t, pieces->at[i].split, &all[i]);
    mo__talk_tokens_free(all, pieces->count);
    return status;
}

static mo_status write_pieces(mo__prepare_tokens *t, const mo__pieces *pieces)
{
    if (t->talks.chat) return write_talks(t, pieces);
    return mo__tokenizer_byte_ids(t->tokenizer) ? write_bytes(t, pieces) : encode(t, pieces);
}

/* The pieces from `first` on that all threads are busy with for a moment, not longer: SentencePiece takes a
 * thread some seconds for 10 MB, and whoever interrupts does not wait for that. */
static mo__pieces slice(const mo__pieces *pieces, int64_t first)
{
    size_t size = 0, enough = SLICE * (size_t)mo_threads();
    int64_t end = first;
    while (end < pieces->count && size < enough) size += pieces->at[end++].size;
    return (mo__pieces){.at = pieces->at + first, .count = end - first};
}

mo_status mo__prepare_tokens_add(mo__prepare_tokens *t, const mo__pieces *pieces)
{
    for (int64_t done = 0; done < pieces->count;) {
        mo__pieces next = slice(pieces, done);
        MO_TRY(write_pieces(t, &next));
        if (t->stop && *t->stop) return mo_error(MO_E_INTERRUPTED, "interrupted");
        done += next.count;
    }
    return MO_OK;
}
