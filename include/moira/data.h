/* data.h -- from corpora to batches.
 *
 * prepare and synth write token files (tokenfile.h); a loader hands out batches from one or several. A batch
 * is a pure function of (seed, step, microbatch): of which source a sequence is follows from the weights in
 * closed form; a source's epoch e shifts its windows of `sequence_length` tokens by an offset drawn for that
 * epoch and visits them in a keyed permutation. A source of whole documents (mo_tokens) is packed once, into
 * windows that each epoch permutes, the same ones for any seed. So any step can be asked for directly.
 *
 *     mo_loader *l; MO_TRY(mo_loader_open(&options, &l));
 *     const mo_batch *b; MO_TRY(mo_loader_get(l, step, microbatch, &b));   (b stays valid until the next get)
 *     mo_loader_close(l); */
#ifndef MOIRA_DATA_H
#define MOIRA_DATA_H

#include "moira/chat.h"
#include "moira/tokenfile.h"

#include <signal.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- corpora to token files ---- */

typedef void (*mo_phase_fn)(const char *what, void *user);

typedef enum mo_corpus_format {
    MO_CORPUS_AUTO, /* JSONL by the extensions .jsonl .ndjson .json-lines .jsonlines .json (and .gz of these),
                       else text */
    MO_CORPUS_TEXT,
    MO_CORPUS_JSONL
} mo_corpus_format;

/* What lines of JSONL are. */
typedef enum mo_corpus_content {
    MO_CORPUS_TEXTS,
    MO_CORPUS_CONVERSATIONS, /* {"messages": [{"role": , "content": }, ...]}, or a prompt and its completion
                              */
    MO_CORPUS_BY_FIRST_LINE  /* conversations if the first line is one and has no "text" */
} mo_corpus_content;

/* Where texts are. A document is a text file, or what is between two separators in one, or the text in a line
 * of JSONL. Files packed with gzip are known by their content. A byte order mark at a file's begin, a line's
 * end right behind a separator, blank lines of JSONL and documents without text are left out. */
typedef struct mo_corpus {
    const char *const *inputs; /* files; folders, of which all files with an extension are taken, hidden ones
                                  apart; patterns of glob(7). A file that is named twice is read once */
    int n_inputs;
    const char *extensions; /* of files in folders, "txt,jsonl"; each also with .gz. NULL: txt, text, md and
                               those of JSONL */
    mo_corpus_format format;
    const char *field;     /* of JSONL: "text" if NULL; "a.b" is key b of the object under key a */
    const char *separator; /* of documents in text files; NULL: each is one document */
    mo_corpus_content content;
    const char *prompt_field, *completion_field; /* of conversations, as `field`: NULL: "prompt" and
                                                    "completion", and lines may have "messages" instead */
    bool skip_bad; /* leave out, and count, lines of JSONL without such a text, or without a
                      conversation that can be learnt */
} mo_corpus;

typedef struct mo_prepare_options {
    mo_corpus corpus;
    const char *output;
    const mo_tokenizer *tokenizer; /* NULL: one is trained on what trains (mo_tokenizer_train) */
    int64_t train_vocabulary;      /* its ids; 0 where a tokenizer is given */
    const char *save_tokenizer;    /* where to write the .model too; NULL: nowhere. Not for "bytes" */
    const char *chat_template; /* of conversations: mo_chat_template_open's; NULL: the first one built in */
    int64_t max_length;        /* of a conversation, in tokens; 0: any. MO_E_RANGE for a longer one, unless */
    bool truncate;             /* it is to be cut: last exchanges go, whole, until it fits; of an only one
                                  the end of the completion goes, with its end token */
    double validation_fraction; /* v: of several documents one in each run of 1/v validates, drawn by `seed`;
                                   of an only one the first floor((1 - v) n) of its n bytes train, the rest
                                   validates (by characters, where ids are not bytes). 0: all train */
    uint64_t seed;
    int compression;
    const volatile sig_atomic_t
        *stop;               /* may be NULL; not 0: leave with MO_E_INTERRUPTED, nothing is written */
    mo_progress_fn progress; /* may be NULL; in bytes of the files */
    mo_phase_fn phase;       /* may be NULL; told where a tokenizer is trained: what begins now */
    void *user;
} mo_prepare_options;

/* How long documents are, in tokens. */
typedef struct mo_lengths {
    int64_t documents, tokens, least, most;
    int64_t median;    /* of an even number the lower one; exact below 2,048, above to one in 1,024 */
    int64_t power[63]; /* documents of 2^k to 2^(k+1) - 1 tokens */
} mo_lengths;
mo_status mo_lengths_of(const mo_tokens *split, mo_lengths *out);

/* Of both splits. */
typedef struct mo_talk_summary {
    char chat_template[64];          /* its name, or its file's; "": no conversations */
    mo_lengths prompts, completions; /* of a conversation: tokens that are read only, and that are learnt */
    int64_t completions_cut, turns_cut; /* to fit: cut at the end; exchanges left out */
    int64_t truncated;                  /* conversations that this befell */
    int64_t too_long;                   /* left out, by skip_bad */
} mo_talk_summary;

typedef struct mo_prepare_summary {
    int64_t files, files_repeated;   /* read; named again */
    int64_t tokens[2], documents[2]; /* by mo_split */
    mo_lengths lengths[2];
    mo_corpus_facts facts;
    mo_talk_summary talks;
    int64_t byte_order_marks; /* left out */
    char tokenizer_kind[32], tokenizer_hash[33];
    int64_t vocab_size;
    double seconds;
} mo_prepare_summary;

/* Texts to a token file. Streams: memory does not grow with the input, but for its longest line of JSONL (at
 * most 1 GiB). The file's bytes depend on the input and the options alone, not on the number of threads.
 * Conversations go in whole, with a mask of what the assistant says (mo_tokens.mask, mo_tokens.whole); of
 * several some validate, an only one trains.
 * MO_E_NOT_FOUND, MO_E_IO; MO_E_FORMAT for what is no text or no such JSONL (names file and line), and for a
 * corpus without text to train on; MO_E_UNSUPPORTED for a JSON array where JSONL is needed; MO_E_CORRUPT for
 * damaged gzip data; MO_E_USAGE for options that contradict. */
mo_status mo_prepare(const mo_prepare_options *options, mo_prepare_summary *summary);

/* What mo_synth made. */
typedef struct mo_corpus_summary {
    int64_t bytes, tokens[2], documents[2];
    int n_domains;
    const char *const *domain_names; /* static */
    double entropy_nats[2][16];      /* per split and domain */
    int64_t domain_tokens[2][16];
    double seconds;
} mo_corpus_summary;

enum { MO_SYNTH_DOMAINS = 8 };

typedef struct mo_synth_options {
    const char *output;
    const char *texts; /* JSONL of the documents that train, fields text and domain; NULL = none */
    int domains;       /* 1 .. MO_SYNTH_DOMAINS */
    int64_t tokens;    /* bytes wanted over both splits */
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
    int32_t *targets;                    /* next token, -1 = not predicted (document end, mask 0, padding) */
    int32_t *starts;                     /* index within the window of the first token that this one may
                                            attend to: the start of its document or of the window; of
                                            padding, itself */
    int32_t *domains;                    /* label of each token's document, -1 without labels or padding */
    int32_t *source;                     /* [B] index of the row's source, 0 without a mixture, -1: padding */
    int64_t *at;                         /* index of each token in its split, -1: padding */
    int64_t predicted;                   /* targets that are not -1 */
    int64_t predicted_step;              /* the same, over all microbatches of the step */
    int64_t predicted_bytes;             /* bytes that the predicted tokens stand for */
    int64_t valid;                       /* tokens that are not padding: tokens[i] >= 0 */
    int64_t valid_step;                  /* the same, over all microbatches of the step */
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
/* MO_E_RANGE if a split is shorter than one window (sequence_length + 1 tokens), or has a whole document that
 * is longer than one; says both lengths. */
mo_status mo_loader_open(const mo_loader_options *options, mo_loader **out);
mo_status mo_loader_get(mo_loader *loader, int64_t step, int64_t microbatch, const mo_batch **out);
/* How many sequences of the first `steps` steps are of the source: its share by weight of all of them, less
 * than one sequence off for up to three sources and less than 1.7 for any number. */
int64_t mo_loader_drawn(const mo_loader *loader, int source, int64_t steps);
double mo_loader_waited(const mo_loader *loader); /* seconds spent waiting for the prefetch thread */
void mo_loader_close(mo_loader *loader);

/* Whole documents in windows of sequence_length tokens: a function of the documents' lengths alone. Windows
 * follow the split: they are numbered by the first of their documents, which are in order within one. */
typedef struct mo_packing {
    int64_t sequence_length, windows, documents, tokens;
    int64_t *document; /* [documents] window after window */
    int64_t *first;    /* [windows + 1]: window w has document[first[w]] to document[first[w + 1] - 1] */
} mo_packing;
/* MO_E_RANGE: a document is longer than a window; says which, and both lengths. */
mo_status mo_packing_create(const mo_tokens *tokens, int64_t sequence_length, mo_packing *out);
void mo_packing_free(mo_packing *packing);
double mo_packing_fill(const mo_packing *packing); /* share of its windows' positions that tokens take */

/* Sequences of one epoch of a training split: of a stream that is long enough for one, or of whole documents.
 * MO_E_RANGE as for mo_loader_open. */
mo_status mo_train_windows(const mo_tokens *tokens, int64_t sequence_length, int64_t *out);

/* Evaluation order. A stream: windows of L tokens that do not overlap, in order; every token of a window but
 * its first is predicted (unless a document begins there, or its mask is 0); a last window that is short is
 * left out. Window w is tokens [w L, w L + L); as a row of a batch its last position has no target. Whole
 * documents: the windows of mo_packing_create, in order; nothing is left out. Rows past the last window are
 * padding: tokens -1, targets -1. */
typedef struct mo_eval_order {
    const mo_tokens *tokens; /* borrowed */
    int64_t sequence_length, windows;
    mo_packing packing; /* of whole documents */
} mo_eval_order;
mo_status mo_eval_order_create(const mo_tokens *tokens, int64_t sequence_length, mo_eval_order *out);
void mo_eval_order_free(mo_eval_order *order);
mo_status mo_eval_batch(const mo_eval_order *order, const mo_tokenizer *tokenizer, int64_t first_window,
                        mo_batch *batch); /* fills batch_size rows */
mo_status mo_batch_create(int64_t batch_size, int64_t sequence_length, mo_batch **out);
void mo_batch_free(mo_batch *batch);

#ifdef __cplusplus
}
#endif
#endif
