/* data.h -- from corpora to batches.
 *
 * prepare and synth write token files (tokenfile.h); a loader hands out batches from one or several. A batch
 * is a pure function of (seed, step, microbatch): of which source a sequence is follows from the weights in
 * closed form; a source's epoch e shifts its windows of `sequence_length` tokens by an offset drawn for that
 * epoch and visits them in a keyed permutation. So any step can be asked for directly.
 *
 *     mo_loader *l; MO_TRY(mo_loader_open(&options, &l));
 *     const mo_batch *b; MO_TRY(mo_loader_get(l, step, microbatch, &b));   (b stays valid until the next get)
 *     mo_loader_close(l); */
#ifndef MOIRA_DATA_H
#define MOIRA_DATA_H

#include "moira/tokenfile.h"

#include <signal.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- corpora to token files ---- */

typedef void (*mo_progress_fn)(double done, double total, const char *unit, void *user);

typedef struct mo_prepare_options {
    const char *const *inputs; /* text files */
    int n_inputs;
    const char *output;
    const mo_tokenizer *tokenizer;
    double validation_fraction; /* 0.1: of one text the last part (first floor(0.9 n) bytes train); of several
                                   files, each file is a document and is split the same way by position */
    int compression;
    const volatile sig_atomic_t
        *stop;               /* may be NULL; not 0: leave with MO_E_INTERRUPTED, nothing is written */
    mo_progress_fn progress; /* may be NULL */
    void *user;
} mo_prepare_options;

typedef struct mo_corpus_summary {
    int64_t bytes, tokens[2], documents[2];
    int n_domains;
    const char *const *domain_names; /* static, synth only */
    double entropy_nats[2][16];      /* per split and domain, synth only */
    int64_t domain_tokens[2][16];
    double seconds;
} mo_corpus_summary;

/* Streams: memory does not grow with the input. MO_E_NOT_FOUND, MO_E_IO; MO_E_FORMAT for an empty input. */
mo_status mo_prepare(const mo_prepare_options *options, mo_corpus_summary *summary);

typedef struct mo_synth_options {
    const char *output;
    int domains;    /* 1 .. mo_synth_domain_count() */
    int64_t tokens; /* bytes wanted over both splits */
    double validation_fraction;
    uint64_t seed;
    int compression;
    const volatile sig_atomic_t *stop; /* as for prepare */
    mo_progress_fn progress;
    void *user;
} mo_synth_options;

/* Labelled domains (stories, arithmetic, JSON records, code-like text, verse, ...), byte tokenizer. Every
 * random choice of a generator adds the entropy of its distribution, so each split's floor is known. */
mo_status mo_synth(const mo_synth_options *options, mo_corpus_summary *summary);
int mo_synth_domain_count(void);
const char *mo_synth_domain_name(int domain);

/* ---- batches ---- */

typedef struct mo_batch {
    int64_t batch_size, sequence_length; /* B, T; arrays are [B*T], sequence after sequence */
    int32_t *tokens;                     /* inputs */
    int32_t *targets;                    /* next token, -1 = not predicted (document end, padding) */
    int32_t *starts;                     /* index within the window of the first token that this one may
                                            attend to: the start of its document or of the window */
    int32_t *domains;                    /* label of each token's document, -1 without labels or padding */
    int32_t *source;                     /* [B] index of the row's source, 0 without a mixture, -1: padding */
    int64_t *at;                         /* [B] index of the row's first token in its split, -1: padding */
    int64_t predicted;                   /* targets that are not -1 */
    int64_t predicted_step;              /* the same, over all microbatches of the step */
    int64_t predicted_bytes;             /* bytes that the predicted tokens stand for */
    int64_t valid;                       /* tokens that are not padding: tokens[i] >= 0 */
} mo_batch;

typedef struct mo_loader_source {
    const mo_tokens *tokens; /* borrowed while the loader lives */
    double weight;           /* of its sequences, above 0; with one source it does not matter */
} mo_loader_source;

typedef struct mo_loader_options {
    const mo_loader_source *sources;
    int n_sources;
    const mo_tokenizer *tokenizer; /* of all of them */
    int64_t batch_size;            /* sequences per microbatch */
    int64_t sequence_length;
    int64_t accumulation; /* microbatches per step */
    uint64_t seed;
    bool prefetch; /* a thread makes the next batches ahead of time */
} mo_loader_options;

typedef struct mo_loader mo_loader;
/* MO_E_RANGE if a split is shorter than one window (sequence_length + 1 tokens); says both lengths. */
mo_status mo_loader_open(const mo_loader_options *options, mo_loader **out);
mo_status mo_loader_get(mo_loader *loader, int64_t step, int64_t microbatch, const mo_batch **out);
/* How many sequences of the first `steps` steps are of the source: its share by weight of all of them, less
 * than one sequence off for up to three sources and less than 1.7 for any number. */
int64_t mo_loader_drawn(const mo_loader *loader, int source, int64_t steps);
double mo_loader_waited(const mo_loader *loader); /* seconds spent waiting for the prefetch thread */
void mo_loader_close(mo_loader *loader);

/* Sequences of one epoch of a training split that is long enough for one. */
int64_t mo_train_windows(const mo_tokens *tokens, int64_t sequence_length);

/* Evaluation order: windows of L tokens that do not overlap, in order; every token of a window but its first
 * is predicted (unless a document begins there); a last window that is short is left out. Window w is tokens
 * [w L, w L + L); as a row of a batch its last position has no target. Rows past the last window are padding:
 * tokens -1, targets -1. */
int64_t mo_eval_windows(const mo_tokens *tokens, int64_t sequence_length);
mo_status mo_eval_batch(const mo_tokens *tokens, const mo_tokenizer *tokenizer, int64_t sequence_length,
                        int64_t first_window, mo_batch *batch); /* fills batch_size rows */
mo_status mo_batch_create(int64_t batch_size, int64_t sequence_length, mo_batch **out);
void mo_batch_free(mo_batch *batch);

#ifdef __cplusplus
}
#endif
#endif
