/* train_internal.h -- what the files of the train module share. */
#ifndef MOIRA_TRAIN_INTERNAL_H
#define MOIRA_TRAIN_INTERNAL_H

#include <math.h>
#include <string.h>

#include "moira/hf.h"
#include "moira/train.h"
#include "train/event_file.h"

/* ---- budget.c ---- */

/* All steps of the run as far as it can be told after state.step of them; above state.step while it goes on.
 */
int64_t mo__run_projected(const mo_run_config *config, const mo_checkpoint_state *state);
/* Counts an evaluation without a new best by eval.min_delta, or starts the count anew. */
void mo__run_evaluated(const mo_run_config *config, double loss, mo_checkpoint_state *state);
mo_run_end mo__run_end(const mo_run_config *config, const mo_checkpoint_state *state);
/* MO_E_MISMATCH if more steps are done than the config has. */
mo_status mo__run_extends(const mo_run_config *config, const mo_checkpoint_state *state);

/* ---- what a run starts from ---- */

/* Low-rank adapters are never the base's. */
static inline bool mo__is_adapter(const char *name)
{
    return strstr(name, ".lora_") != NULL;
}
/* folder_config.c: model and balance as the folder says, the rest as it is without a config; owned by out. */
mo_status mo__folder_config(const mo_hf *hf, const char *path, mo_config_parse_fn *parse, mo_run_config *out);

/* pretrained.c: the config goes to the caller, who owns it; it is left empty where opening fails before. */
mo_status mo__pretrained_open_into(const char *path, mo_config_parse_fn *parse, mo_run_config *config,
                                   mo_pretrained **out);

/* ---- run_data.c ---- */

/* Ids within the vocabulary, and tokens enough for a sequence, in every source. */
mo_status mo__run_data_check(const mo_run_data *data, int64_t vocab_size, int64_t sequence_length);
/* Whether every whole document fits into a window. */
bool mo__run_data_fits(const mo_run_data *data, int64_t sequence_length);
/* The sources' hashes, 32 digits each, in order. Owned; NULL without memory. */
char *mo__run_data_hashes(const mo_run_data *data);
/* Whether the data has the hash, and its sources the hashes ("" = not known), that a run began with:
 * MO_E_MISMATCH names the source that has not. */
mo_status mo__run_data_same(const mo_run_data *data, const char *hash, const char *hashes);

/* A NaN as printf should show it: its sign bit means nothing. */
static inline double mo__unsigned_nan(double value)
{
    return isnan(value) ? (double)NAN : value;
}

/* ---- routing_sum.c: router statistics summed over microbatches or batches ---- */

typedef struct mo__routing_sum {
    int n_layers; /* with experts */
    int64_t experts;
    bool experts_choose;      /* what `dropped` means: see mo_layer_report */
    double *sums;             /* [n_layers][experts + MO_ROUTER_SUMS] */
    double *loads;            /* [n_layers][experts] storage of reports' load */
    mo_layer_report *reports; /* [n_layers] */
} mo__routing_sum;
mo_status mo__routing_sum_create(const mo_model *m, mo__routing_sum *out);
void mo__routing_sum_free(mo__routing_sum *s);
void mo__routing_sum_clear(mo__routing_sum *s);
void mo__routing_sum_add(mo__routing_sum *s, const mo_model_graph *t);
void mo__routing_sum_report(mo__routing_sum *s, const mo_model_graph *t); /* fills reports */
/* Choices of each expert in MoE layer l (0 is the first), of the selection before capacity. */
const double *mo__routing_sum_counts(const mo__routing_sum *s, int l);
/* The load below which an expert is dead: 0 without load. */
double mo__dead_load(const mo_layer_report *report);
/* max_vio, cv and dead from load, which may be of any scale; all 0 without load. */
void mo__load_measure(mo_layer_report *report);

/* ---- source_sum.c: training loss by source, summed over microbatches ---- */

typedef struct mo__source_sum {
    int count;    /* 0: nothing is summed */
    double *loss; /* [count] */
    int64_t *predicted;
    mo_source_report *reports;
} mo__source_sum;
mo_status mo__source_sum_create(const mo_run_data *data, mo__source_sum *out);
void mo__source_sum_free(mo__source_sum *s);
void mo__source_sum_clear(mo__source_sum *s);
/* After a training step of the graph on the batch. */
void mo__source_sum_add(mo__source_sum *s, const mo_model_graph *t, const mo_batch *batch);
/* Fills reports but for their validation loss; `steps` done. */
void mo__source_sum_report(mo__source_sum *s, const mo_loader *loader, int64_t steps,
                           int64_t sequence_length);

/* ---- validate.c ---- */

/* NULL, or why not. */
const char *mo__cannot_validate(const mo_run_source *source, int64_t sequence_length);
struct mo__routing_log;  /* routing_log.h */
struct mo__base_choices; /* base_choices.h */

/* Evaluates every source that can be, fills the report's part, the sum's reports, the counts of `routing`,
 * and records or compares with `base`, which may be NULL. At least one source can be evaluated.
 * MO_E_INTERRUPTED leaves the report as it was. */
mo_status mo__validate(mo_model_graph *t, const mo_run_data *data, const mo_run_config *config,
                       const volatile sig_atomic_t *stop, mo__source_sum *sum,
                       struct mo__routing_log *routing, struct mo__base_choices *base,
                       mo_step_report *report);

/* ---- evaluate.c ---- */

struct mo__routing_count; /* routing_count.h */

/* What looks at the choices of an evaluation. */
typedef struct mo__eval_watch {
    struct mo__routing_count *count; /* may be NULL */
    int first_domain;                /* in count, of the file's first domain */
    struct mo__base_choices *base;   /* of the file's source; may be NULL */
} mo__eval_watch;

/* Evaluates with a graph that is planned, bound and attached; options->routing is for mo_evaluate. */
mo_status mo__evaluate_graph(mo_model_graph *t, const mo_eval_options *options, const mo__eval_watch *watch,
                             mo_eval_result *out);
/* The order, to be freed whatever the status, and how many of its windows are evaluated: at least one. */
mo_status mo__eval_order(const mo_eval_options *options, mo_eval_order *order, int64_t *windows);
mo_status mo__check_tokens(const mo_tokenfile *file, int64_t vocab_size);

/* ---- save.c ---- */

/* Of a checkpoint's arrays, values and moments; changed: without what is frozen. */
uint64_t mo__saved_bytes(const mo_model *m, bool changed);

/* ---- run_folder.c ---- */

char *mo__step_path(const char *dir, int64_t step); /* owned */
/* Removes step files up to `step` but the `keep` newest of them. */
mo_status mo__prune(const char *dir, int64_t keep, int64_t step);
/* Holds the folder, which is there, for this process until it is unlocked; where the file system has no
 * locks, nothing is held, and *lock is -1. MO_E_EXISTS: another process holds it. */
mo_status mo__run_lock(const char *dir, int *lock);
void mo__run_unlock(const char *dir, int lock);
/* Temporary files that a kill in the middle of a save has left. */
void mo__remove_leftovers(const char *dir);
/* The newest whole checkpoint, step file or best.h5; damaged step files are passed over with a warning.
 * MO_E_NOT_FOUND if there is none at all, MO_E_CORRUPT if none is whole. */
mo_status mo__open_latest(const char *dir, mo_checkpoint **out, char **path);
/* Whether the folder, or the nearest one above it that exists, can be written. */
mo_status mo__check_writable(const char *dir);
bool mo__run_exists(const char *dir);

/* ---- samples.c ---- */

/* Forgets samples of later steps; then appends. */
mo_status mo__samples_cut(const char *dir, int64_t step);
mo_status mo__samples_append(const char *dir, int64_t step, const char *text, size_t size);

/* ---- metrics.c ---- */

typedef struct mo__metrics {
    FILE *file;
    char *path;
} mo__metrics;
/* Cuts lines past `step`, and a broken last one, from metrics.jsonl and its like. */
mo_status mo__lines_cut(const char *path, int64_t step);
/* Cuts, then appends. */
mo_status mo__metrics_open(const char *dir, int64_t step, mo__metrics *out);
mo_status mo__metrics_write(mo__metrics *m, const mo_step_report *report);
mo_status mo__metrics_close(mo__metrics *m);

/* ---- events.c: the same for TensorBoard ---- */

typedef struct mo__events {
    bool on; /* if not, writing does nothing */
    mo__event_file file;
} mo__events;
/* Cuts what is past `step` (and a torn last record), then appends; a new file begins with the config.
 * MO_E_FORMAT if the file's name is taken by something else. */
mo_status mo__events_open(const char *dir, int64_t step, const char *config, mo__events *out);
mo_status mo__events_step(mo__events *e, const mo_step_report *report);
/* tag[size] as text, shown as it is. */
mo_status mo__events_text(mo__events *e, int64_t step, const char *tag, const char *text, size_t size);
mo_status mo__events_close(mo__events *e);

/* ---- metrics_read.c ---- */

/* The line of a step, without its evaluation, its layers and sources into the reports of `routing` and
 * `sources`. MO_E_NOT_FOUND if there is no such line, MO_E_FORMAT if it lacks something that a report has. */
mo_status mo__metrics_read(const char *dir, int64_t step, mo_step_report *report, mo__routing_sum *routing,
                           mo__source_sum *sources);

#endif
