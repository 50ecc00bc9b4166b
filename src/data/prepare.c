/* prepare.c -- texts to a token file: pieces of text in (corpus_pass.h), ids of each split out. */
#include <string.h>

#include <moira/data.h>

#include "corpus_pass.h"
#include "length_tally.h"
#include "tokenizer/tokenizer_kind.h"

typedef struct {
    const mo_prepare_options *options;
    mo_prepare_summary *summary;
    mo__corpus_files files;
    mo__pass_plan plan;
    mo_tokenwriter *writer;
    bool *used;        /* by id: it is among the tokens */
    int64_t length[2]; /* tokens of each split's document so far */
    mo__length_tally *lengths[2];
} job;

/* ---- tokens ---- */

static mo_status append_ids(job *j, mo_split split, const int32_t *ids, int64_t count)
{
    MO_TRY(mo_tokenwriter_append(j->writer, split, ids, count)); /* checks them */
    for (int64_t i = 0; i < count; i++) j->used[ids[i]] = true;
    j->length[split] += count;
    return MO_OK;
}

static mo_status append_bytes(job *j, const mo__piece *p)
{
    MO_TRY(mo_tokenwriter_append_bytes(j->writer, p->split, p->text, (int64_t)p->size));
    for (size_t i = 0; i < p->size; i++) j->used[(unsigned char)p->text[i]] = true;
    j->length[p->split] += (int64_t)p->size;
    return MO_OK;
}

static mo_status end_document(job *j, mo_split split)
{
    MO_TRY(mo_tokenwriter_end_document(j->writer, split, 0));
    if (j->length[split] == 0) {
        j->summary->facts.empty_documents++; /* its text has no tokens */
        return MO_OK;
    }
    mo__length_tally_add(j->lengths[split], j->length[split]);
    j->length[split] = 0;
    return MO_OK;
}

static mo_status append_mark(job *j, mo_split split, bool wanted, int32_t id)
{
    return wanted && id >= 0 ? append_ids(j, split, &id, 1) : MO_OK;
}

static mo_status append_encoded(job *j, const mo__piece *p, const int32_t *ids, int64_t count)
{
    const mo_tokenizer *t = j->options->tokenizer;
    MO_TRY(append_mark(j, p->split, p->begins, mo_tokenizer_bos(t)));
    MO_TRY(append_ids(j, p->split, ids, count));
    return append_mark(j, p->split, p->ends, mo_tokenizer_eos(t));
}

static mo_status end_piece(job *j, const mo__piece *p)
{
    j->summary->facts.text_bytes[p->split] += (int64_t)p->size;
    return p->closes ? end_document(j, p->split) : MO_OK;
}

static mo_status write_bytes(job *j, const mo__pieces *pieces)
{
    for (int64_t i = 0; i < pieces->count; i++) {
        MO_TRY(append_bytes(j, &pieces->at[i]));
        MO_TRY(end_piece(j, &pieces->at[i]));
    }
    return MO_OK;
}

static mo_status write_encoded(job *j, const mo__pieces *pieces, mo_text_piece *texts, int64_t *counts)
{
    int32_t *ids;
    const int32_t *next;
    for (int64_t i = 0; i < pieces->count; i++) {
        const mo__piece *p = &pieces->at[i];
        texts[i] = (mo_text_piece){p->text, p->size, !p->begins};
    }
    MO_TRY(mo_tokenizer_encode_batch(j->options->tokenizer, texts, pieces->count, &ids, counts));
    mo_status status = MO_OK;
    next = ids;
    for (int64_t i = 0; status == MO_OK && i < pieces->count; i++) {
        status = append_encoded(j, &pieces->at[i], next, counts[i]);
        if (status == MO_OK) status = end_piece(j, &pieces->at[i]);
        next += counts[i];
    }
    mo_free(ids);
    return status;
}

static mo_status write_pieces(job *j, const mo__pieces *pieces)
{
    if (mo__tokenizer_byte_ids(j->options->tokenizer)) return write_bytes(j, pieces);
    mo_text_piece *texts = mo_malloc((size_t)pieces->count * sizeof *texts);
    int64_t *counts = mo_malloc((size_t)pieces->count * sizeof *counts);
    mo_status status = texts && counts ? write_encoded(j, pieces, texts, counts) : MO_E_MEMORY;
    mo_free(texts);
    mo_free(counts);
    return status;
}

static mo_status write_tokens(job *j)
{
    const mo_prepare_options *o = j->options;
    mo__pass *pass;
    mo__pieces pieces = {.last = false};
    MO_TRY(mo__pass_open(&j->plan, &pass));
    mo_status status = MO_OK;
    while (status == MO_OK && !pieces.last) {
        status = mo__pass_next(pass, &pieces);
        if (status == MO_OK) status = write_pieces(j, &pieces);
        if (status == MO_OK && o->progress)
            o->progress((double)pieces.stored, (double)j->files.stored, "bytes", o->user);
    }
    mo__pass_facts(pass, &j->summary->facts, &j->summary->byte_order_marks);
    mo__pass_close(pass);
    return status;
}

/* ---- the file ---- */

static void sum_up(job *j)
{
    mo_prepare_summary *s = j->summary;
    int64_t ids = mo_tokenizer_vocab_size(j->options->tokenizer);
    for (int64_t id = 0; id < ids; id++) s->facts.vocabulary_used += j->used[id];
    for (int i = 0; i < 2; i++) {
        mo__length_tally_sum(j->lengths[i], &s->lengths[i]);
        s->tokens[i] = s->lengths[i].tokens;
        s->documents[i] = s->lengths[i].documents;
    }
}

static mo_status refuse_empty(const job *j)
{
    const mo__corpus_files *f = &j->files;
    if (f->count == 1 && f->stored == 0)
        return mo_error(MO_E_FORMAT, "%s: is empty, a text is needed", f->at[0].path);
    if (f->count == 1) return mo_error(MO_E_FORMAT, "%s: has no text", f->at[0].path);
    return mo_error(MO_E_FORMAT, "the corpus is empty: none of its %lld files has text", (long long)f->count);
}

static mo_status refuse_untrainable(const job *j)
{
    return mo_error(MO_E_FORMAT,
                    "%s: of its %lld bytes of text none is left to train on when a share of %g validates",
                    j->plan.size.only->path, (long long)j->plan.size.bytes, j->options->validation_fraction);
}

/* Owned: "prepared from a.txt, b.txt and 3 more". */
static char *describe_source(const mo_corpus *c)
{
    const char *second = c->n_inputs > 1 ? c->inputs[1] : "";
    if (c->n_inputs <= 2)
        return mo_strprintf("prepared from %s%s%s", c->inputs[0], c->n_inputs > 1 ? ", " : "", second);
    return mo_strprintf("prepared from %s, %s and %d more", c->inputs[0], second, c->n_inputs - 2);
}

static char *describe_split(const job *j)
{
    const mo_prepare_options *o = j->options;
    if (o->validation_fraction <= 0) return mo_strdup("all train");
    if (j->plan.size.documents < 2)
        return mo_strprintf("by position, a share of %g validates", o->validation_fraction);
    return mo_strprintf("by document, a share of %g validates, seed %llu", o->validation_fraction,
                        (unsigned long long)o->seed);
}

static mo_status open_writer(job *j)
{
    const mo_prepare_options *o = j->options;
    char *source = describe_source(&o->corpus), *split = describe_split(j);
    mo_tokenwriter_options writer = {.path = o->output,
                                     .tokenizer = o->tokenizer,
                                     .source = source,
                                     .split_by = split,
                                     .compression = o->compression};
    mo_status status = source && split ? mo_tokenwriter_open(&writer, &j->writer) : MO_E_MEMORY;
    mo_free(source);
    mo_free(split);
    return status;
}

static mo_status write_file(job *j)
{
    MO_TRY(open_writer(j));
    mo_status status = write_tokens(j);
    if (status == MO_OK) {
        sum_up(j);
        if (j->summary->facts.text_bytes[MO_SPLIT_TRAIN] == 0) status = refuse_untrainable(j);
    }
    if (status == MO_OK) status = mo_tokenwriter_set_facts(j->writer, &j->summary->facts);
    if (status == MO_OK) return mo_tokenwriter_finish(j->writer);
    mo_tokenwriter_abort(j->writer);
    return status;
}

/* ---- the whole ---- */

static mo_status start(job *j)
{
    const mo_prepare_options *o = j->options;
    MO_TRY(mo__corpus_files_find(&o->corpus, &j->files));
    MO_TRY(mo__corpus_files_spare(&j->files, o->output));
    j->summary->files = j->summary->facts.files = j->files.count;
    j->summary->files_repeated = j->files.repeated;
    j->plan = (mo__pass_plan){.corpus = &o->corpus,
                              .files = &j->files,
                              .tokenizer = o->tokenizer,
                              .validation = o->validation_fraction,
                              .seed = o->seed,
                              .stop = o->stop};
    MO_TRY(mo__corpus_scout(&j->plan));
    if (j->plan.size.documents == 0) return refuse_empty(j);
    j->used = mo_calloc((size_t)mo_tokenizer_vocab_size(o->tokenizer), sizeof *j->used);
    if (!j->used) return MO_E_MEMORY;
    for (int i = 0; i < 2; i++) MO_TRY(mo__length_tally_create(&j->lengths[i]));
    return MO_OK;
}

static void forget(job *j)
{
    mo__corpus_files_free(&j->files);
    for (int i = 0; i < 2; i++) mo__length_tally_free(j->lengths[i]);
    mo_free(j->used);
}

mo_status mo_prepare(const mo_prepare_options *options, mo_prepare_summary *summary)
{
    double begin = mo_clock();
    *summary = (mo_prepare_summary){.files = 0};
    if (!(options->validation_fraction >= 0 && options->validation_fraction < 1))
        return mo_error(MO_E_RANGE, "prepare: validation_fraction is %g, must be at least 0 and below 1",
                        options->validation_fraction);
    job j = {.options = options, .summary = summary};
    mo_status status = start(&j);
    if (status == MO_OK) status = write_file(&j);
    forget(&j);
    summary->seconds = mo_clock() - begin;
    if (status != MO_E_INTERRUPTED) return status;
    return mo_error(status, "prepare: interrupted; %s is not written", options->output);
}
