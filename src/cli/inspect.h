/* inspect.h -- the parts of moira inspect, one per kind of thing that it can be given. */
#ifndef MOIRA_CLI_INSPECT_H
#define MOIRA_CLI_INSPECT_H

#include <jansson.h>

#include "args.h"
#include "inputs.h"

typedef struct mo__inspect_choices {
    const char *data, *dot, *split, *against, *base, *adapter;
    int64_t layer;           /* -1: all */
    int64_t sequence_length; /* 0: not given */
    bool memory, verify, restamp, parameters, routing, json;
} mo__inspect_choices;

mo_status mo__inspect_config(const mo__words *words,
                             const mo__inspect_choices *c); /* the config, then settings */
mo_status mo__inspect_checkpoint(const char *path, const mo__inspect_choices *c);
mo_status mo__inspect_tokens(const char *path, const mo__inspect_choices *c);
mo_status mo__inspect_hf(const char *path, const mo__inspect_choices *c);

json_t *mo__tokenizer_json(const mo_tokenizer *tokenizer); /* null for NULL */

/* Runs a split of c->data through the model and shows where its routers send what; with c->against through
 * another model too, and shows how far the routers of the two are from each other. */
mo_status mo__inspect_routing(const char *path, const mo__inspect_choices *c);
mo_status mo__inspect_drift(const char *path, const mo__inspect_choices *c);

/* Writes the training graph of a config, whose vocabulary is settled, in Graphviz's language. */
mo_status mo__write_dot(const mo_run_config *config, const mo_model *model, const char *path);

/* MO_E_USAGE if `given`: "--verify is for a checkpoint or a token file; FILE is a config". */
mo_status mo__refuse_option(bool given, const char *option, const char *wanted, const char *path,
                            const char *found);

#endif
