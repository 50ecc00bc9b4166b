/* routing_log.h -- routing.jsonl: a line at each evaluation of what the routers did with the validation data.
 */
#ifndef MOIRA_TRAIN_ROUTING_LOG_H
#define MOIRA_TRAIN_ROUTING_LOG_H

#include "train/routing_count.h"

typedef struct mo__routing_log {
    char *path; /* owned; NULL: nothing is logged */
    mo__routing_count count;
    /* Of one file its own domains. Of a mixture, whose sources are domains too, "source/domain", or "source"
     * where it has no labels. */
    char **names; /* [n_names] owned; NULL for one file */
    int n_names;
    int *first_domain;          /* [sources] of each the first of its domains */
    double *mutual_information; /* [n_layers] bits, of the last evaluation; NaN without domains */
} mo__routing_log;

/* Bytes that a run's counts take at most. */
uint64_t mo__routing_log_bytes(const mo_run_config *config, const mo_model_config *resolved);
/* Cuts what is past `step` from the file. t: the graph that evaluates; NULL: nothing will be logged. */
mo_status mo__routing_log_open(const char *dir, int64_t step, const mo_model_graph *t,
                               const mo_run_data *data, mo__routing_log *out);
void mo__routing_log_close(mo__routing_log *log);
/* A counter for the evaluations of one step, or NULL. */
mo__routing_count *mo__routing_log_begin(mo__routing_log *log);
mo_status mo__routing_log_finish(mo__routing_log *log, const mo_model_graph *t);
/* Appends the line of what was finished. */
mo_status mo__routing_log_write(const mo__routing_log *log, int64_t step);

#endif
