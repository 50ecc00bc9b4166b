/* routing_drift.h -- how the routers of two graphs differ, summed over batches that both have run. */
#ifndef MOIRA_TRAIN_ROUTING_DRIFT_H
#define MOIRA_TRAIN_ROUTING_DRIFT_H

#include "moira/routing.h"

/* Sums of one layer. */
typedef struct mo__layer_sums {
    double changed, kl, js;
    int64_t first_changed;
    bool has_p; /* both routers have probabilities */
} mo__layer_sums;

typedef struct mo__drift_sum {
    int n_layers;
    int64_t experts, tokens;
    mo__layer_sums *layers;
    int64_t *counts; /* [n_layers][2][E] choices of reference and model */
} mo__drift_sum;

/* MO_E_MISMATCH: see mo_routing_drift. */
mo_status mo__drift_check(const mo_model_config *reference, const mo_model_config *model);
mo_status mo__drift_sum_create(const mo_model_graph *t, mo__drift_sum *out);
void mo__drift_sum_free(mo__drift_sum *s);
/* After both graphs, which were asked for their routing, have run on a batch of these tokens_N. */
void mo__drift_sum_add(mo__drift_sum *s, const mo_model_graph *reference, const mo_model_graph *t,
                       const int32_t *tokens);
/* mo_layer_drift.changed of a token with a experts before, b after, and so many in both. */
double mo__share_changed(int64_t a, int64_t b, int64_t both);
mo_status mo__drift_sum_finish(const mo__drift_sum *s, const mo_model_graph *reference,
                               const mo_model_graph *t, mo_drift *out);

#endif
