/* routing_count.h -- choices counted over the batches of one or several evaluations; then a mo_routing.
 *
 *     mo__routing_count c;
 *     MO_TRY(mo__routing_count_create(t, &options, names, n, &c));
 *     MO_TRY(mo__routing_count_listed(&c, tokens, end));     if tokens are listed
 *     after each run: mo__routing_count_add(&c, t, batch, 0);
 *     MO_TRY(mo__routing_count_finish(&c, t));               c.out is filled
 *     mo__routing_count_free(&c); */
#ifndef MOIRA_TRAIN_ROUTING_COUNT_H
#define MOIRA_TRAIN_ROUTING_COUNT_H

#include "moira/routing.h"
#include "train/train_internal.h"

typedef struct mo__routing_count {
    mo_routing out; /* first, so that the one is the other */
    int first;      /* of the graph's layers with experts, the first that is counted */
    int rows;       /* max(1, n_domains) */
    mo__routing_sum sum;
    int64_t *choices; /* [n_layers][rows][E] */
    int64_t *pairs;   /* [n_layers][E][E], above the diagonal and on it until finish; or NULL */
    double *expected; /* the same shape; or NULL */
    uint32_t *tokens; /* [listed_layers][n_ids][E]; or NULL. It stops at its largest value */
    int32_t *place;   /* [vocabulary] index among ids, -1: does not occur */
    int32_t *ids;     /* [n_ids], rising */
    int64_t n_ids, listed, least;
    uint64_t limit, bytes; /* of counts: at most, and so far */
    mo_expert_tokens *expert_tokens;
    mo_routed_token *routed; /* storage of the lists */
} mo__routing_count;

/* Counters of the layers of a graph like `t`. domain_names are borrowed; n_domains 0: without labels. */
mo_status mo__routing_count_create(const mo_model_graph *t, const mo_routing_options *options,
                                   const char *const *domain_names, int n_domains, mo__routing_count *out);
/* Bytes that it takes without token lists, for a run's estimate. */
uint64_t mo__routing_count_bytes(const mo_model_config *resolved, const mo_routing_options *options,
                                 int n_domains);
/* Makes room for the tokens that tokens[0, end) have. */
mo_status mo__routing_count_listed(mo__routing_count *c, const mo_tokens *tokens, int64_t end,
                                   int64_t vocab_size);
void mo__routing_count_free(mo__routing_count *c);
void mo__routing_count_clear(mo__routing_count *c);
/* After a run of the graph on the batch. Domain d of the batch is row first_domain + d. */
void mo__routing_count_add(mo__routing_count *c, const mo_model_graph *t, const mo_batch *batch,
                           int first_domain);
mo_status mo__routing_count_finish(mo__routing_count *c, const mo_model_graph *t);

/* routing_tokens.c: fills the token lists of finished counts. */
mo_status mo__routing_tokens(mo__routing_count *c);

#endif
