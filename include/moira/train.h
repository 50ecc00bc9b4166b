/* train.h -- runs: training, evaluation, generation, measurement, and what they write.
 *
 * A run folder holds
 *     config.yaml             the resolved config
 *     metrics.jsonl           one JSON object a line; see mo_step_report
 *     events.out.tfevents.moira   the same, samples and warnings for TensorBoard (log.tensorboard)
 *     step-00000500.h5        checkpoints (checkpoint.h): the last `checkpoint.keep` of them
 *     best.h5                 the checkpoint of the lowest validation loss
 *     samples.txt             text generated during training
 *     routing.jsonl           an object for each evaluation: what the routers did (log.routing)
 *     spikes.jsonl            an object for each step whose loss stood out (log.spike), if any did
 *     lock                    says which process trains here; held by it, and gone with it
 * A run resumed from step s has the bits of one that was never interrupted: metrics past s are cut off
 * first. Only warnings of routers that collapse (log.collapse_window) may come later, and again: a resume
 * begins a window of steps of its own.
 *
 * Only mo_train writes files. Everything is told through callbacks on the calling thread; nothing prints. */
#ifndef MOIRA_TRAIN_H
#define MOIRA_TRAIN_H

#include "moira/checkpoint.h"
#include "moira/chat.h"
#include "moira/data.h"
#include "moira/model.h"

#include <signal.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mo_mixture_source {
    char *path;
    double weight; /* above 0 */
} mo_mixture_source;

/* Everything a config file says. Strings are owned by the config and never NULL ("" = not given). */
typedef struct mo_run_config {
    struct {
        char *name, *dir; /* dir: "" = checkpoints/<name> */
        uint64_t seed;
        int64_t threads; /* 0 = all cores */
    } run;
    struct {
        char *path; /* or the mixture: one of them is given */
        struct {
            mo_mixture_source *at;
            int64_t count;
        } mixture;
    } data;
    struct {
        char *from; /* checkpoint, or folder in Hugging Face's layout, that the weights come from */
    } init;
    mo_tuning_config tuning; /* the keys freeze and lora */
    mo_model_config model;
    mo_balance_config balance;
    struct {
        int64_t steps, tokens; /* budgets, 0 = none: see mo_run_steps */
        double seconds;
        int64_t batch_size, sequence_length, gradient_accumulation_steps;
        int recompute; /* mo_recompute */
    } train;
    int optimizer_name; /* optimizer.name: 0 = adamw, the only one */
    mo_optim_config optimizer;
    mo_schedule_config schedule;
    struct {
        int64_t every, batches; /* batches: 0 = the whole validation split */
        int64_t patience;       /* evaluations in a row without a new best that end the run; 0 = none do */
        double min_delta;       /* nats that make a new best */
    } eval;
    struct {
        int64_t every, keep, compression;
        bool background;
    } checkpoint;
    struct {
        int64_t every;  /* steps between samples; 0 = at evaluations */
        int64_t tokens; /* 0 = no samples */
        char *prompt;
        double temperature;
    } sample;
    struct {
        int64_t every; /* steps between progress lines */
        bool tensorboard, routing;
        double spike;            /* robust standard deviations that make a loss a spike; 0 = none do */
        int64_t collapse_window; /* steps over which routers are watched for collapse; 0 = they are not */
    } log;
} mo_run_config;

/* Fills a config from its YAML text, and frees what it owns: mo_config_parse and mo_config_free of config/.
 */
typedef mo_status mo_config_parse_fn(const char *text, const char *origin, mo_run_config *out);
typedef void mo_config_release_fn(mo_run_config *config);

/* What a run starts from: pretrained.h. */
typedef struct mo_pretrained mo_pretrained;

/* ---- how long a run is ---- */

/* Positions that one step reads, document ends included; INT64_MAX if they are more. */
int64_t mo_run_step_tokens(const mo_run_config *config);
/* Steps that train.steps and train.tokens allow, the smaller where both are given: train.tokens are
 * ceil(tokens / tokens of a step) steps. 0 if only train.seconds ends the run. */
int64_t mo_run_steps(const mo_run_config *config);

/* Why a run ends where it is. */
typedef enum mo_run_end {
    MO_RUN_GOES_ON,
    MO_RUN_STEPS,
    MO_RUN_TOKENS,
    MO_RUN_SECONDS,
    MO_RUN_PATIENCE,
    MO_RUN_PAUSED /* it goes on with --resume: mo_train_options.pause_at */
} mo_run_end;

/* ---- what a run learns from ---- */

typedef struct mo_run_source {
    char *name; /* the file's, without folder and .h5; the path if two sources would have the same */
    mo_tokenfile *file;
    double share;    /* of all sequences, by weight; the shares sum to 1 */
    int64_t windows; /* sequences of an epoch */
    double fill;     /* of their positions, the share that is tokens: below 1 with whole documents */
} mo_run_source;

typedef struct mo_run_data {
    mo_run_source *sources; /* one for data.path; of data.mixture each, in its order */
    int count;
    char hash[33]; /* of the one file, or of the files' hashes in order */
} mo_run_data;

/* Opens the token files of data.path or data.mixture. MO_E_MISMATCH if two have other tokenizers or the same
 * content, MO_E_RANGE if a whole document is longer than train.sequence_length; on failure nothing is left to
 * close. */
mo_status mo_run_data_open(const mo_run_config *config, mo_run_data *out);
void mo_run_data_close(mo_run_data *data);
/* What its tokens, and the windows that whole documents are packed into, take in memory. */
uint64_t mo_run_data_bytes(const mo_run_data *data, int64_t sequence_length);
/* How often `steps` steps go through the source's training split. */
double mo_run_data_epochs(const mo_run_data *data, int source, const mo_run_config *config, int64_t steps);

/* ---- memory, known before a run ---- */

typedef struct mo_run_memory {
    uint64_t parameters, gradients, optimizer; /* the slabs */
    uint64_t activations;                      /* the arena: the larger of training and evaluation */
    uint64_t kept, scratch; /* of it: alive between forward and backward; largest scratch */
    uint64_t data;          /* token file and batches, counts of the routing */
    uint64_t snapshot;      /* what checkpoints are written from in the background */
    uint64_t checkpoint;    /* buffers while saving */
    uint64_t runtime;       /* program, libraries, thread stacks, BLAS buffers */
    uint64_t total;
    uint64_t mapped; /* weights read where they lie in the base's files: not of the total, since the system
                        keeps of them what memory is left for */
} mo_run_memory;

/* The graph of a run's microbatch, to train on or to evaluate. */
mo_model_graph_options mo_run_graph_options(const mo_run_config *config, mo_graph_kind kind);

/* Plans without allocating, with the headers of init.from where it is a folder whose frozen weights stay in
 * its files. vocab_size must be known; data_bytes: size of the tokens in memory. */
mo_status mo_run_memory_estimate(const mo_run_config *config, uint64_t data_bytes, mo_run_memory *out);

/* ---- reports ---- */

/* What a layer's router did over a step, or an evaluation. NaN: the router has no such thing (hash and random
 * have no probabilities). With c_e choices of expert e before capacity and their mean c: */
typedef struct mo_layer_report {
    int layer;
    const double *load; /* [E] c_e / (E c), sums to 1 */
    int64_t experts;
    double max_vio;     /* max c_e / c - 1 */
    double cv;          /* coefficient of variation: sqrt(mean (c_e - c)^2) / c */
    double entropy;     /* mean entropy of the probabilities, nats */
    double top1;        /* mean largest probability */
    double top1_weight; /* mean largest weight of a token's experts */
    double dropped;     /* share of the choices that capacity dropped; where experts choose, share of the
                           tokens that none took */
    double z;           /* mean (logsumexp z)^2 */
    int64_t dead;       /* experts with c_e < MO_DEAD_PART c */
} mo_layer_report;
/* An expert is called dead below this part of its fair share, 1/E of the choices. */
#define MO_DEAD_PART 0.1

/* Of every line of metrics.jsonl, as "version". It rises when a key changes its meaning, not when one is
 * added; a resume refuses lines of a newer version with MO_E_VERSION. */
#define MO_METRICS_VERSION 1

typedef struct mo_source_report {
    const char *name;
    int64_t tokens;         /* read of it so far, padding too: sequences * sequence_length */
    double share;           /* of the sequences so far */
    double train_loss;      /* of this step's sequences of it; NaN if there are none */
    double validation_loss; /* if evaluated; NaN if it has no validation split */
} mo_source_report;

/* A line of metrics.jsonl, written every log.every steps and at evaluations. JSON keys are the field names;
 * validation_loss and bits_per_byte only at evaluations; there, in a run with init.from, drift of each layer,
 * and mean_drift under `drift`; such a run begins with a line of step 0, the base's validation loss, in which
 * null stands for what only a step has, and there are no layers; balance as an object of the losses that are
 * on; sources (whose name is under `source`, and NaN null) only with data.mixture. The validation_loss of a
 * mixture is the mean over its sources that have a validation split, weighted by their shares. */
typedef struct mo_step_report {
    int64_t step, steps; /* done, of: with train.seconds, of what the time will do for */
    mo_run_end end;      /* why this report is the last, or MO_RUN_GOES_ON */
    int64_t tokens;      /* predicted so far */
    double train_loss;   /* this step's cross-entropy, nats per predicted token; 0 without one */
    double balance_loss; /* sum of coefficient * loss */
    double balance[MO_BALANCE_LOSSES]; /* each loss, without its coefficient; NaN if off */
    double learning_rate, grad_norm;
    double seconds;           /* of training so far, evaluations and saving left out */
    double tokens_per_second; /* read, without padding, since the last report */
    double gflops;            /* model FLOPs of them, the same span */
    double waited_seconds;    /* for data, of the same span; 0 where the loader was ahead */
    bool evaluated;
    double validation_loss, bits_per_byte; /* if evaluated */
    const double *mutual_information; /* [n_layers] bits, if evaluated on data with domains, else NULL: what
                                         the experts say of the domains, which a mixture's sources are too */
    /* [n_layers], if evaluated in a run with init.from, else NULL: mo_layer_drift.changed (routing.h) of the
     * validation tokens against the base; and its mean over the layers. */
    const double *drift;
    double mean_drift;
    double base_loss; /* validation loss of init.from, in a run that goes on too; NaN: there is none */
    const mo_layer_report *layers;
    int n_layers;
    const mo_source_report *sources;
    int n_sources; /* 0 without data.mixture */
} mo_step_report;

typedef struct mo_save_report {
    int64_t step;
    const char *path, *best; /* the step file, best.h5: NULL if that was not due. One file has both names */
    uint64_t bytes;          /* of it */
    double blocked_seconds;  /* that training stood still for it */
    double background_seconds;
} mo_save_report;

/* An op of a graph, forward and backward apart; all but the name per step. */
typedef struct mo_bench_op {
    const char *name;
    mo_phase phase;
    double seconds, flops, bytes;
    double quartile[2]; /* of the seconds of a bench's steps (bench.h); 0 in a profile */
    int64_t calls;
} mo_bench_op;

/* Where the time of a run's steps went: means over `steps` of them. What ops, optimizer, statistics and
 * waiting leave of step_seconds is everything else. */
typedef struct mo_profile {
    int64_t steps; /* without the first of the process, unless it is the only one */
    double step_seconds;
    double optimizer_seconds, statistics_seconds, waited_seconds; /* waited: for the loader */
    double clock_seconds;            /* of it all, what the profile itself took */
    double peak_gflops, peak_gbytes; /* of the machine, measured afterwards */
    mo_bench_op *ops;                /* slowest first */
    int n_ops;
} mo_profile;

typedef struct mo_train_events {
    void (*start)(const mo_run_config *config, const mo_run_data *data, const mo_model *model,
                  const mo_run_memory *memory, int64_t first_step, bool over,
                  void *user);                              /* over: nothing is left to do */
    void (*step)(const mo_step_report *report, void *user); /* with every metrics line */
    void (*tick)(int64_t step, double train_loss, double tokens_per_second,
                 void *user); /* every step: live line */
    void (*sample)(int64_t step, const char *text, size_t size, void *user);
    void (*saved)(const mo_save_report *report, void *user); /* once it is whole, maybe some steps later */
    /* When the run ends or is interrupted and has made a step. If it is not NULL every op is timed, which
     * changes no bit. */
    void (*profile)(const mo_profile *profile, void *user);
    void *user;
} mo_train_events; /* every callback may be NULL */

typedef struct mo_train_options {
    const mo_run_config *config;
    /* The resolved config as YAML, for config.yaml and checkpoints, once the data has settled vocab_size
     * (config/ has mo_config_dump). Owned by the caller of dump. */
    mo_status (*dump)(const mo_run_config *config, char **out);
    mo_config_parse_fn *parse; /* with release, for a checkpoint as base; NULL where no run has init.from */
    mo_config_release_fn *release;
    /* Reads a checkpoint's config and compares: MO_E_MISMATCH names what differs (config/ has both). */
    mo_status (*check_resume)(const char *saved, const mo_run_config *wanted, void *user);
    void *user;
    bool resume;
    int64_t pause_at; /* a step: once the run is there, or past it, it saves and returns MO_OK; 0: none */
    const volatile sig_atomic_t *stop; /* not 0: checkpoint and leave with MO_E_INTERRUPTED */
    mo_train_events events;
} mo_train_options;

/* Runs until a budget is spent; *last is the last report, with steps 0 if there was nothing left to do.
 * Statuses beyond those of files and configs: MO_E_EXISTS (a run is there already), MO_E_MEMORY (would not
 * fit: said before allocating), MO_E_NONFINITE, MO_E_INTERRUPTED. */
mo_status mo_train(const mo_train_options *options, mo_step_report *last);
/* The folder of a run: run.dir or checkpoints/<run.name>. Owned. */
char *mo_run_dir(const mo_run_config *config);
/* Whether a process trains in the folder. */
bool mo_run_held(const char *dir);
/* Path of the newest whole checkpoint of a run folder. Owned; MO_E_NOT_FOUND. */
mo_status mo_run_latest(const char *dir, char **path);

/* ---- a trained model ---- */

typedef struct mo_trained {
    mo_model *model;         /* values only */
    mo_run_config config;    /* owned by whoever filled it: see mo_trained_free */
    mo_tokenizer *tokenizer; /* NULL if the checkpoint has none */
    mo_checkpoint_state state;
    mo_pretrained *base; /* where frozen matrices of the model lie: of adapters, and of a folder; else NULL */
} mo_trained;

/* Where a model is. */
typedef struct mo_trained_paths {
    const char *model; /* checkpoint, or folder in Hugging Face's layout: all of it is mapped */
    /* Of a checkpoint that has only what was trained upon a base: where that is. NULL: where it says. */
    const char *base;
    const char *adapter; /* what was trained upon `model`: a checkpoint, or PEFT's folder; NULL */
} mo_trained_paths;
/* Statuses of mo_checkpoint_open, mo_hf_open and mo_checkpoint_read; MO_E_MISMATCH: the base is not the one
 * that was trained upon; MO_E_USAGE: paths that do not go together. */
mo_status mo_trained_open_paths(const mo_trained_paths *paths, mo_config_parse_fn *parse, mo_trained *out);
mo_status mo_trained_open(const char *path, mo_config_parse_fn *parse, mo_trained *out);
/* Frees model, tokenizer and base; the config is the caller's to free. */
void mo_trained_free(mo_trained *t);

/* ---- parts of a loop of one's own: tests/api/example.c is one ---- */

/* Copies a batch of the graph's sizes into its inputs; positions count from each document's start. */
void mo_model_graph_feed(mo_model_graph *t, const mo_batch *batch);
/* The model as arrays of a checkpoint: its values and, if asked for, both moments of what trains. They point
 * into the model, or to where a mapped parameter lies; the array of *count is owned. */
mo_status mo_model_arrays(const mo_model *m, bool moments, mo_checkpoint_array **arrays, int *count);
/* The same without what is frozen. */
mo_status mo_model_arrays_changed(const mo_model *m, bool moments, mo_checkpoint_array **arrays, int *count);

/* ---- evaluation ---- */

typedef struct mo_routing_options mo_routing_options; /* routing.h */
typedef struct mo_routing mo_routing;

typedef struct mo_eval_options {
    const mo_tokenfile *file;
    mo_split split;
    int64_t sequence_length, batch_size;
    int64_t batches;                   /* 0 = the whole split */
    const mo_routing_options *routing; /* NULL: choices are not counted */
    const volatile sig_atomic_t *stop;
    mo_progress_fn progress;
    void *user;
} mo_eval_options;

typedef struct mo_eval_result {
    double loss, perplexity, bits_per_byte; /* nats per predicted token */
    int64_t tokens, windows;                /* predicted */
    int64_t bytes;                          /* that the predicted tokens stand for */
    double seconds;
    int n_domains;          /* of the file; 0 without labels */
    double *domain_loss;    /* [n_domains] */
    int64_t *domain_tokens; /* [n_domains] predicted */
    int n_layers;           /* MoE layers */
    int64_t experts;
    mo_layer_report *layers; /* [n_layers] */
    double *loads;           /* storage of layers[].load */
    mo_routing *routing;     /* if it was asked for, else NULL; it borrows the file's domain names */
} mo_eval_result;

/* MO_E_MISMATCH if the file's ids do not fit the model, MO_E_RANGE if the split is shorter than one window.
 */
mo_status mo_evaluate(const mo_model *model, const mo_eval_options *options, mo_eval_result *out);
void mo_eval_result_free(mo_eval_result *r);

/* ---- generation ---- */

typedef struct mo_sampling {
    double temperature; /* 0 = greedy */
    int64_t top_k;      /* 0 = all */
    double top_p;       /* 1 = all */
    uint64_t seed;
} mo_sampling;
mo_status mo_sampling_check(const mo_sampling *sampling); /* MO_E_RANGE */

typedef struct mo_generate_options {
    const int32_t *prompt; /* at least one token */
    int64_t prompt_count, max_tokens;
    double temperature; /* as in mo_sampling */
    int64_t top_k;
    double top_p;
    uint64_t seed;
    bool (*emit)(int32_t id, void *user); /* each new token as it comes; false stops */
    void *user;
} mo_generate_options;
/* What a model goes on from: the begin of a document, if the tokenizer has one, and the ids of text[size].
 * *ids is owned. MO_E_RANGE: that is no token at all. */
mo_status mo_generate_prompt(const mo_tokenizer *t, const char *text, size_t size, int32_t **ids,
                             int64_t *count);
/* With a key-value cache of prompt and max_tokens, at most max_position_embeddings; past those the older half
 * of the context is dropped. */
mo_status mo_generate(const mo_model *model, const mo_generate_options *options);

/* The texts of several prompts, `slots` at once: they share the reading of the weights. Each is the text that
 * it would be alone, to the bit: rows are independent. The draws of prompt i are those of (seed, i, place);
 * of prompt 0 those of mo_generate. */
enum { MO_GENERATE_MOST = 16 };
typedef enum mo_emitted { MO_EMITTED_GO_ON, MO_EMITTED_END /* of this text */, MO_EMITTED_STOP } mo_emitted;
typedef struct mo_prompt {
    const int32_t *ids; /* borrowed */
    int64_t count;      /* at least 1 */
} mo_prompt;
typedef struct mo_generate_batch_options {
    const mo_prompt *prompts;
    int64_t n_prompts, slots, max_tokens; /* slots: 0 is MO_GENERATE_MOST */
    mo_sampling sampling;
    mo_emitted (*emit)(int64_t prompt, int32_t id, void *user); /* each new token, of one text in order */
    void (*end)(int64_t prompt, void *user);                    /* of a text; NULL */
    void *user;
} mo_generate_batch_options;
mo_status mo_generate_batch(const mo_model *model, const mo_generate_batch_options *options);

/* Generation that goes on: tokens are read, whoever they are of, and drawn; what was read stays in the cache.
 * The model is borrowed. Its cache is for `capacity` tokens, or, with 0 or more than it can,
 * max_position_embeddings. */
typedef struct mo_generator mo_generator;
mo_status mo_generator_create(const mo_model *model, int64_t capacity, mo_generator **out);
void mo_generator_free(mo_generator *g);
int64_t mo_generator_capacity(const mo_generator *g); /* tokens of context */
int64_t mo_generator_length(const mo_generator *g);   /* tokens in it */
void mo_generator_clear(mo_generator *g);             /* empties it */
/* Reads tokens after those that are there. MO_E_RANGE: more than there is room for, or an id that is none;
 * nothing is read then. */
mo_status mo_generator_read(mo_generator *g, const int32_t *ids, int64_t count);
/* The next token; it is not read yet. At least one token was read. `place` numbers the draws of a seed. */
int32_t mo_generator_draw(mo_generator *g, const mo_sampling *sampling, uint64_t place);

/* ---- conversation ---- */

typedef enum mo_reply_end {
    MO_REPLY_ENDED,   /* by the model */
    MO_REPLY_CUT,     /* at max_tokens */
    MO_REPLY_FULL,    /* the context is full of this one exchange */
    MO_REPLY_STOPPED, /* by emit */
} mo_reply_end;
typedef struct mo_reply {
    mo_reply_end end;
    int64_t tokens;
    int forgotten; /* exchanges, the oldest ones, that made room for this one */
} mo_reply;
typedef struct mo_chat_options {
    const mo_model *model; /* borrowed, like the rest, while the chat lives */
    const mo_tokenizer *tokenizer;
    const mo_chat_template *chat;
    const char *system; /* NULL: none */
    mo_sampling sampling;
    int64_t max_tokens;                                      /* of a reply */
    bool (*emit)(const char *text, size_t size, void *user); /* a reply's text as it comes; false stops it */
    void *user;
} mo_chat_options;
typedef struct mo_chat mo_chat;
/* MO_E_MISMATCH for a tokenizer that has more ids than the model. */
mo_status mo_chat_open(const mo_chat_options *options, mo_chat **out);
/* What the user says, and the model's reply to it. The cache is kept from turn to turn; where the context is
 * full the oldest exchanges are forgotten, and what is left is read anew. A reply that did not end is ended.
 * MO_E_FORMAT, MO_E_RANGE (longer than the context): it is as if it had not been said. */
mo_status mo_chat_say(mo_chat *chat, const char *text, size_t size, mo_reply *reply);
void mo_chat_close(mo_chat *chat);

#ifdef __cplusplus
}
#endif
#endif
