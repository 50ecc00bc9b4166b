/* base_choices.h -- which experts the model that a run starts from gives the validation tokens, kept as ids,
 * and how many of a later model's choices it did not make.
 *
 *     MO_TRY(mo__base_choices_create(graph, sources, &b));
 *     ... base weights: for each source mo__base_choices_source, after each batch mo__base_choices_add ...
 *     mo__base_choices_recorded(&b);
 *     ... an evaluation: mo__base_choices_begin; the same calls; mo__base_choices_finish ... b.drift[l]
 *
 * Of the batches of a source the first are kept, as far as MO__BASE_CHOICES_BYTES go; the rest are passed
 * over. */
#ifndef MOIRA_TRAIN_BASE_CHOICES_H
#define MOIRA_TRAIN_BASE_CHOICES_H

#include "train/train_internal.h"

enum { MO__BASE_CHOICES_BYTES = 64 << 20 }; /* of all sources together */

/* A source's batches: ids [n_layers][N][K] each, in as few bytes as an id needs. */
typedef struct mo__kept_batches {
    void **at; /* owned, each too */
    int64_t count, room;
} mo__kept_batches;

typedef struct mo__base_choices {
    int n_layers, n_sources; /* 0 layers: nothing is kept, and every call does nothing */
    int64_t experts, rows, per_token;
    int id_bytes; /* 1, 2 or 4 */
    mo__kept_batches *sources;
    bool recorded;
    int64_t most;         /* batches that are kept of a source */
    int source;           /* whose batches come, */
    int64_t next;         /* and the next of them */
    int64_t batches;      /* that were there while recording, kept or not */
    int64_t tokens;       /* compared so far */
    double *sums, *drift; /* [n_layers] see mo_layer_drift.changed; drift is of the last evaluation */
    double mean;          /* of drift over the layers */
} mo__base_choices;

/* Bytes that the choices of a run take at most; tokens: no more are in the validation splits. */
uint64_t mo__base_choices_bytes(const mo_run_config *config, const mo_model_config *resolved,
                                uint64_t tokens);
/* t: the graph that evaluates. */
mo_status mo__base_choices_create(const mo_model_graph *t, int n_sources, mo__base_choices *out);
void mo__base_choices_free(mo__base_choices *b);
/* From now on it compares. Logs how much was kept, if that is not everything. */
void mo__base_choices_recorded(mo__base_choices *b);
void mo__base_choices_begin(mo__base_choices *b);
void mo__base_choices_source(mo__base_choices *b, int source);
/* After the graph has run on a batch of these tokens_N. MO_E_MEMORY while recording. */
mo_status mo__base_choices_add(mo__base_choices *b, const mo_model_graph *t, const int32_t *tokens);
void mo__base_choices_finish(mo__base_choices *b);

#endif
