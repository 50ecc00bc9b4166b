/* synth.c -- a corpus of synthetic documents: domains in random order, of about as many bytes each, with the
 * least loss that is possible on each. */
#include <string.h>

#include <moira/data.h>

#include "synth.h"
#include "synth_texts.h"

enum {
    ORDER_LAYER = 1 << 16, /* MO_RNG_SYNTH has the domains below */
    PROGRESS_EVERY = 1024, /* documents */
};
#define VALIDATION_DOCUMENTS \
    (UINT64_C(1) << 40) /* document numbers from here on are of the validation split */

typedef struct {
    const mo_synth_options *options;
    mo_corpus_summary *summary;
    mo_tokenwriter *writer;
    mo__synth_texts texts; /* of what trains */
    mo__synth synth;
} job;

typedef struct {
    int64_t bytes[16], documents[16], total_bytes, total_documents;
    double entropy[16];
} tally;

/* Every domain once in some order; then always the one of two drawn that has fewer bytes so far. */
static int choose_domain(const job *j, mo_split split, const tally *t)
{
    const mo_synth_options *o = j->options;
    uint64_t n = (uint64_t)o->domains, index = (uint64_t)t->total_documents;
    if (index < n) return (int)mo_rng_permute(o->seed, (uint64_t)split, n, index);
    int drawn[2];
    for (uint64_t i = 0; i < 2; i++)
        drawn[i] = (int)(mo_rng_uniform(o->seed, MO_RNG_SYNTH, index, ORDER_LAYER + (uint32_t)split, i) *
                         o->domains);
    return t->bytes[drawn[1]] < t->bytes[drawn[0]] ? drawn[1] : drawn[0];
}

static mo_status write_document(job *j, mo_split split, tally *t)
{
    mo__synth *s = &j->synth;
    int domain = choose_domain(j, split, t);
    uint64_t first = split == MO_SPLIT_VALIDATION ? VALIDATION_DOCUMENTS : 0;
    mo__synth_document(s, domain, first + (uint64_t)t->documents[domain]);
    t->bytes[domain] += s->length;
    t->documents[domain]++;
    t->entropy[domain] += s->entropy;
    t->total_bytes += s->length;
    t->total_documents++;
    if (split == MO_SPLIT_TRAIN)
        mo__synth_texts_append(&j->texts, s->text, s->length, mo__synth_names[domain]);
    MO_TRY(mo_tokenwriter_append_bytes(j->writer, split, s->text, s->length));
    return mo_tokenwriter_end_document(j->writer, split, domain);
}

static void report(const job *j, const tally *t)
{
    const mo_synth_options *o = j->options;
    double done = (double)(j->summary->bytes + t->total_bytes), total = (double)o->tokens;
    if (o->progress) o->progress(done < total ? done : total, total, "bytes", o->user);
}

/* nats per predicted byte = entropy / (bytes - documents): a document's first byte is not predicted. */
static mo_status write_split(job *j, mo_split split, int64_t wanted)
{
    tally t = {.total_bytes = 0};
    if (wanted == 0) return MO_OK;
    while (t.total_bytes < wanted) {
        if (j->options->stop && *j->options->stop)
            return mo_error(MO_E_INTERRUPTED, "synth: interrupted; %s is not written", j->options->output);
        MO_TRY(write_document(j, split, &t));
        if (t.total_documents % PROGRESS_EVERY == 0) report(j, &t);
    }
    report(j, &t);
    mo_corpus_summary *sum = j->summary;
    for (int d = 0; d < j->options->domains; d++) {
        sum->entropy_nats[split][d] = t.entropy[d] / (double)(t.bytes[d] - t.documents[d]);
        sum->domain_tokens[split][d] = t.bytes[d];
    }
    sum->tokens[split] = t.total_bytes;
    sum->documents[split] = t.total_documents;
    sum->bytes += t.total_bytes;
    return mo_tokenwriter_set_entropy(j->writer, split, sum->entropy_nats[split]);
}

static mo_status open_writer(job *j, const mo_tokenizer *tokenizer)
{
    const mo_synth_options *o = j->options;
    char source[96];
    snprintf(source, sizeof source, "synthetic, %d domains, seed %llu", o->domains,
             (unsigned long long)o->seed);
    mo_tokenwriter_options writer = {.path = o->output,
                                     .tokenizer = tokenizer,
                                     .source = source,
                                     .domain_names = mo__synth_names,
                                     .n_domains = o->domains,
                                     .compression = o->compression};
    return mo_tokenwriter_open(&writer, &j->writer);
}

static mo_status write_all(job *j)
{
    const mo_synth_options *o = j->options;
    mo_tokenizer *tokenizer;
    MO_TRY(mo_tokenizer_bytes(&tokenizer));
    int64_t validation = (int64_t)((double)o->tokens * o->validation_fraction);
    mo_status status = open_writer(j, tokenizer);
    if (status == MO_OK) status = mo__synth_texts_open(&j->texts, o->texts);
    if (status == MO_OK) status = write_split(j, MO_SPLIT_TRAIN, o->tokens - validation);
    if (status == MO_OK) status = write_split(j, MO_SPLIT_VALIDATION, validation);
    if (status == MO_OK) status = mo__synth_texts_close(&j->texts);
    if (status == MO_OK)
        status = mo_tokenwriter_finish(j->writer);
    else
        mo_tokenwriter_abort(j->writer);
    if (status == MO_OK) status = mo__synth_texts_commit(&j->texts);
    if (status != MO_OK) mo__synth_texts_abort(&j->texts);
    mo_tokenizer_free(tokenizer);
    return status;
}

static mo_status check_options(const mo_synth_options *o)
{
    if (o->domains < 1 || o->domains > mo_synth_domain_count())
        return mo_error(MO_E_RANGE, "synth: %d domains, must be 1 to %d", o->domains,
                        mo_synth_domain_count());
    if (!(o->validation_fraction >= 0 && o->validation_fraction < 1))
        return mo_error(MO_E_RANGE, "synth: validation_fraction is %g, must be at least 0 and below 1",
                        o->validation_fraction);
    double part = o->validation_fraction, share = part > 0 && part < 0.5 ? part : 1 - part;
    double least = (double)o->domains * MO__SYNTH_LONGEST;
    if ((double)o->tokens * share < least)
        return mo_error(MO_E_RANGE,
                        "synth: %lld tokens are too few for %d domains in every split, at least %.0f",
                        (long long)o->tokens, o->domains, least / share + 1);
    return MO_OK;
}

mo_status mo_synth(const mo_synth_options *options, mo_corpus_summary *summary)
{
    double start = mo_clock();
    *summary = (mo_corpus_summary){.n_domains = options->domains};
    MO_TRY(check_options(options));
    job *j = mo_calloc(1, sizeof *j);
    if (!j) return MO_E_MEMORY;
    j->options = options;
    j->summary = summary;
    mo__synth_init(&j->synth, options->seed);
    mo_status status = write_all(j);
    mo_free(j);
    summary->domain_names = mo__synth_names;
    summary->seconds = mo_clock() - start;
    return status;
}
