/* tokenfile_write.c -- token files are written a document at a time, in constant memory: a split is three
 * columns (tokens, document offsets, labels, mask), each buffered for one round of the shared pack. */
#include <moira/tokenfile.h>

#include <string.h>

#include "base/file.h"
#include "store/h5_column.h"
#include "store/h5_root.h"
#include "store/stamp.h"
#include "tokenfile_facts.h"
#include "tokenizer/tokenizer_kind.h"

enum { TOKEN_CHUNK = 1 << 19, INDEX_CHUNK = 1 << 16, CONVERT = 4096 };

typedef struct {
    hid_t group;
    mo__column *tokens, *documents, *domains, *mask;
    uint64_t count, document; /* tokens so far; where the current document begins */
    bool has_entropy;
    double entropy[16];
} split_writer;

struct mo_tokenwriter {
    mo_tokenwriter_options options; /* domain_names and source are not kept */
    mo_replace replace;
    hid_t file;
    mo__pack *pack;
    int width;
    int64_t vocab_size;
    split_writer split[2];
    mo_corpus_facts facts;
};

static const char *const SPLIT_NAMES[] = {"train", "validation"};

static void close_all(mo_tokenwriter *w)
{
    for (int i = 0; i < 2; i++) {
        mo__column_free(w->split[i].tokens);
        mo__column_free(w->split[i].documents);
        mo__column_free(w->split[i].domains);
        mo__column_free(w->split[i].mask);
        mo__h5_release(&w->split[i].group);
        w->split[i] = (split_writer){.group = H5I_INVALID_HID};
    }
    mo__pack_free(w->pack);
    w->pack = NULL;
}

void mo_tokenwriter_abort(mo_tokenwriter *w)
{
    if (!w) return;
    MO__H5_LOCK();
    close_all(w);
    if (w->file >= 0) mo__h5_close(w->file, MO_E_INTERRUPTED); /* any failure: the message so far stays */
    mo_replace_abort(&w->replace);
    mo_free(w);
}

/* An older program can read what has neither a mask nor whole documents. */
static int version_of(const mo_tokenwriter_options *o)
{
    return o->masked || o->whole ? 2 : 1;
}

static mo_status write_attributes(mo_tokenwriter *w, const mo_tokenwriter_options *o)
{
    MO_TRY(mo__root_write(w->file, "moira-tokens", version_of(o), o->tokenizer));
    MO_TRY(mo__h5_put_int(w->file, "vocab_size", w->vocab_size));
    MO_TRY(mo__h5_put_text(w->file, "source", o->source ? o->source : ""));
    if (o->split_by) MO_TRY(mo__h5_put_text(w->file, "split", o->split_by));
    if (o->whole) MO_TRY(mo__h5_put_text(w->file, "documents", "whole"));
    return o->n_domains ? mo__h5_put_texts(w->file, "domain_names", o->domain_names, o->n_domains) : MO_OK;
}

static mo_status start(mo_tokenwriter *w, const mo_tokenwriter_options *o)
{
    MO__H5_LOCK();
    MO_TRY(mo__pack_create(o->compression, false, &w->pack));
    MO_TRY(mo__h5_create(w->replace.path, &w->file));
    return write_attributes(w, o);
}

mo_status mo_tokenwriter_open(const mo_tokenwriter_options *options, mo_tokenwriter **out)
{
    *out = NULL;
    if (options->compression < 0 || options->compression > 9)
        return mo_error(MO_E_RANGE, "%s: compression is %d, must be 0 to 9", options->path,
                        options->compression);
    if (options->n_domains < 0 || options->n_domains > 16)
        return mo_error(MO_E_RANGE, "%s: %d domains, at most 16 can be labelled", options->path,
                        options->n_domains);
    mo_tokenwriter *w = mo_calloc(1, sizeof *w);
    if (!w) return MO_E_MEMORY;
    w->options = *options;
    w->facts = MO_CORPUS_FACTS_UNKNOWN;
    w->file = w->split[0].group = w->split[1].group = H5I_INVALID_HID;
    w->vocab_size = mo_tokenizer_vocab_size(options->tokenizer);
    w->width = w->vocab_size <= 1 << 8 ? 1 : w->vocab_size <= 1 << 16 ? 2 : 4;
    mo_status status = mo_replace_begin(&w->replace, options->path); /* its messages name the path */
    if (status == MO_OK && (status = start(w, options)) != MO_OK) mo__replace_error(&w->replace, status);
    if (status == MO_OK)
        *out = w;
    else
        mo_tokenwriter_abort(w);
    return status;
}

/* A split appears in the file with its first token. */
static mo_status start_split(mo_tokenwriter *w, mo_split split)
{
    split_writer *s = &w->split[split];
    hid_t type = w->width == 1 ? H5T_STD_U8LE : w->width == 2 ? H5T_STD_U16LE : H5T_STD_U32LE;
    int level = w->options.compression;
    uint64_t zero = 0;
    MO_TRY(mo__h5_group_create(w->file, SPLIT_NAMES[split], &s->group));
    MO_TRY(mo__column_create(s->group, "tokens", type, (size_t)w->width, TOKEN_CHUNK, level, w->pack,
                             &s->tokens));
    MO_TRY(mo__column_create(s->group, "documents", H5T_STD_U64LE, sizeof zero, INDEX_CHUNK, level, w->pack,
                             &s->documents));
    if (w->options.n_domains)
        MO_TRY(mo__column_create(s->group, "domains", H5T_STD_U16LE, sizeof(uint16_t), INDEX_CHUNK, level,
                                 w->pack, &s->domains));
    if (w->options.masked)
        MO_TRY(mo__column_create(s->group, "mask", H5T_STD_U8LE, 1, TOKEN_CHUNK, level, w->pack, &s->mask));
    return mo__column_append(s->documents, &zero, 1);
}

/* mask[count], or NULL: all 1. */
static mo_status append_mask(split_writer *s, const uint8_t *mask, int64_t count)
{
    if (mask) return mo__column_append(s->mask, mask, count);
    uint8_t ones[CONVERT];
    memset(ones, 1, sizeof ones);
    for (int64_t done = 0; done < count; done += CONVERT)
        MO_TRY(mo__column_append(s->mask, ones, count - done < CONVERT ? count - done : CONVERT));
    return MO_OK;
}

static mo_status append(mo_tokenwriter *w, mo_split split, const void *tokens, const uint8_t *mask,
                        int64_t count)
{
    split_writer *s = &w->split[split];
    if (count == 0) return MO_OK;
    MO__H5_LOCK();
    mo_status status = s->group < 0 ? start_split(w, split) : MO_OK;
    if (status == MO_OK) status = mo__column_append(s->tokens, tokens, count);
    if (status == MO_OK && s->mask) status = append_mask(s, mask, count);
    if (status != MO_OK) return mo_error_context(status, "%s", w->replace.target);
    s->count += (uint64_t)count;
    return MO_OK;
}

mo_status mo_tokenwriter_append_bytes(mo_tokenwriter *w, mo_split split, const void *bytes, int64_t count)
{
    if (!mo__tokenizer_byte_ids(w->options.tokenizer))
        return mo_error(MO_E_USAGE, "%s: bytes are not the ids of a \"%s\" tokenizer", w->replace.target,
                        mo_tokenizer_kind(w->options.tokenizer));
    return append(w, split, bytes, NULL, count);
}

static void narrow(int width, const int32_t *ids, int64_t n, void *out)
{
    for (int64_t i = 0; i < n; i++) {
        if (width == 1) ((uint8_t *)out)[i] = (uint8_t)ids[i];
        if (width == 2) ((uint16_t *)out)[i] = (uint16_t)ids[i];
        if (width == 4) ((uint32_t *)out)[i] = (uint32_t)ids[i];
    }
}

static mo_status append_ids(mo_tokenwriter *w, mo_split split, const int32_t *ids, const uint8_t *mask,
                            int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        if (ids[i] < 0 || ids[i] >= w->vocab_size)
            return mo_error(MO_E_RANGE, "%s: token id %d is none, ids are 0 to %lld", w->replace.target,
                            (int)ids[i], (long long)w->vocab_size - 1);
    uint32_t stored[CONVERT];
    for (int64_t done = 0; done < count; done += CONVERT) {
        int64_t n = count - done < CONVERT ? count - done : CONVERT;
        narrow(w->width, ids + done, n, stored);
        MO_TRY(append(w, split, stored, mask ? mask + done : NULL, n));
    }
    return MO_OK;
}

mo_status mo_tokenwriter_append(mo_tokenwriter *w, mo_split split, const int32_t *ids, int64_t count)
{
    return append_ids(w, split, ids, NULL, count);
}

mo_status mo_tokenwriter_append_masked(mo_tokenwriter *w, mo_split split, const int32_t *ids,
                                       const uint8_t *mask, int64_t count)
{
    if (!w->options.masked)
        return mo_error(MO_E_USAGE, "%s: has no mask, and tokens with one were appended", w->replace.target);
    for (int64_t i = 0; i < count; i++)
        if (mask[i] > 1)
            return mo_error(MO_E_RANGE, "%s: mask %d of token %lld of %lld, must be 0 or 1",
                            w->replace.target, (int)mask[i], (long long)i, (long long)count);
    return append_ids(w, split, ids, mask, count);
}

mo_status mo_tokenwriter_end_document(mo_tokenwriter *w, mo_split split, int domain)
{
    split_writer *s = &w->split[split];
    if (s->count == s->document) return MO_OK;
    uint16_t label = (uint16_t)domain;
    if (w->options.n_domains && (domain < 0 || domain >= w->options.n_domains))
        return mo_error(MO_E_RANGE, "%s: domain %d is none, domains are 0 to %d", w->replace.target, domain,
                        w->options.n_domains - 1);
    MO__H5_LOCK();
    mo_status status = mo__column_append(s->documents, &s->count, 1);
    if (status == MO_OK && s->domains) status = mo__column_append(s->domains, &label, 1);
    s->document = s->count;
    return status == MO_OK ? MO_OK : mo_error_context(status, "%s", w->replace.target);
}

mo_status mo_tokenwriter_set_entropy(mo_tokenwriter *w, mo_split split, const double *nats_per_domain)
{
    if (w->options.n_domains == 0)
        return mo_error(MO_E_USAGE, "%s: entropy is by domain, and there are none", w->replace.target);
    split_writer *s = &w->split[split];
    memcpy(s->entropy, nats_per_domain, (size_t)w->options.n_domains * sizeof *s->entropy);
    s->has_entropy = true;
    return MO_OK;
}

mo_status mo_tokenwriter_set_facts(mo_tokenwriter *w, const mo_corpus_facts *facts)
{
    w->facts = *facts;
    return MO_OK;
}

static mo_status put_fact(hid_t object, const char *name, int64_t value)
{
    return value < 0 ? MO_OK : mo__h5_put_int(object, name, value);
}

static mo_status write_facts(const mo_tokenwriter *w)
{
#define X(name) MO_TRY(put_fact(w->file, #name, w->facts.name));
    MO__CORPUS_FACTS(X)
#undef X
    return MO_OK;
}

static mo_status finish_split(mo_tokenwriter *w, mo_split split)
{
    split_writer *s = &w->split[split];
    if (s->group < 0) return MO_OK;
    if (s->document != s->count)
        return mo_error(MO_E_USAGE, "the last document of %s was not ended", SPLIT_NAMES[split]);
    MO_TRY(mo__column_finish(s->tokens));
    MO_TRY(mo__column_finish(s->documents));
    if (s->domains) MO_TRY(mo__column_finish(s->domains));
    if (s->mask) MO_TRY(mo__column_finish(s->mask));
    MO_TRY(put_fact(s->group, "text_bytes", w->facts.text_bytes[split]));
    return s->has_entropy ? mo__h5_put_reals(s->group, "entropy_nats", s->entropy, w->options.n_domains)
                          : MO_OK;
}

static mo_status finish_content(mo_tokenwriter *w)
{
    MO__H5_LOCK();
    mo_status status = MO_OK;
    if (w->split[0].count + w->split[1].count == 0) status = mo_error(MO_E_USAGE, "has no tokens");
    for (int i = 0; status == MO_OK && i < 2; i++) status = finish_split(w, (mo_split)i);
    if (status == MO_OK) status = write_facts(w);
    close_all(w);
    hid_t file = w->file;
    w->file = H5I_INVALID_HID;
    return mo__h5_close(file, status);
}

mo_status mo_tokenwriter_finish(mo_tokenwriter *w)
{
    mo_status status = finish_content(w);
    mo__stamp_kind kind = mo__stamp_tokens;
    kind.version = version_of(&w->options);
    if (status == MO_OK) status = mo__stamp_write(w->replace.path, &kind);
    if (status != MO_OK) mo__replace_error(&w->replace, status);
    if (status == MO_OK) status = mo_replace_commit(&w->replace);
    mo_tokenwriter_abort(w);
    return status;
}
