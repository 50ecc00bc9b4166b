/* golden_model.h -- small models of Hugging Face's transformers, computed there in double
 * (tests/golden/make_mixtral.py, make_models.py), against ours. */
#ifndef MOIRA_TESTS_GOLDEN_MODEL_H
#define MOIRA_TESTS_GOLDEN_MODEL_H

#include "harness/golden.h"

#include "moira/model.h"

typedef struct golden_model {
    const golden *file;
    char group[16];          /* where it lies in the file: "" or "olmoe/" */
    mo_model_config config;  /* sizes, rope_theta and rms_norm_eps are filled in; the test sets the rest */
    mo_tuning_config tuning; /* nothing; the test sets it */
    int64_t batch, sequence;
} golden_model;

golden_model golden_model_open(const golden *file, const char *group);
double golden_model_setting(const golden_model *g, const char *name);
golden_array golden_model_read(const golden_model *g, const char *path, const char *name); /* path/name */

/* With the file's parameters, which must be all that ours has; room for training. */
mo_model *golden_model_load(const golden_model *g);
/* Bound, attached and filled with the whole batch. */
mo_model_graph *golden_model_graph(const golden_model *g, const mo_model *m, mo_model_graph_options options);
/* Runs forward and backward; means over tokens, every token being predicted. */
void golden_model_train(mo_model_graph *t, double *cross_entropy, double balance[MO_BALANCE_LOSSES]);

/* The logits of each row of the batch, computed in `pieces` that go on from one another's key-value cache. */
void golden_model_check_logits(const golden_model *g, const mo_model *m, const int64_t *pieces, int n_pieces,
                               double tolerance);
/* The experts chosen in each MoE layer. */
void golden_model_check_ids(const golden_model *g, const mo_model *m);
/* Every gradient of what trains, relative to the largest element of its parameter. */
void golden_model_check_gradients(const golden_model *g, const mo_model *m, double tolerance);

#endif
