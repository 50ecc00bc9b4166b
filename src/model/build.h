/* build.h -- inside the model module: how a transformer's parts declare parameters and build their nodes.
 *
 * Each part is one file with two functions: declare (names, shapes, initial values, at creation) and build
 * (nodes of a graph). A part finds its parameters by the name that it declared. */
#ifndef MOIRA_MODEL_BUILD_H
#define MOIRA_MODEL_BUILD_H

#include "moira/model.h"

/* What a router gives the rest: scores, selection, weights; what losses and metrics look at. */
typedef struct mo__routing {
    mo_tensor *z_NE;       /* clean logits; NULL without scores */
    mo_tensor *p_NE;       /* probabilities, which sum to 1 over the experts; NULL without scores */
    mo_tensor *ids_NK;     /* the selection, before capacity; -1: none */
    mo_tensor *w_NK;       /* its weights */
    mo_tensor *kept_NK;    /* what of the selection is dispatched: set by moe_block.c */
    mo_tensor *plain_NK;   /* the selection by scores alone, where a bias moves it; else NULL */
    mo_noisy_choice noisy; /* of a router with noise, else NULLs; of two levels the choice within groups */
    mo_noisy_choice first; /* of two levels the choice of groups, else NULLs */
    int64_t rows;          /* most rows that can be routed; 0 = N*K */
} mo__routing;

/* One graph under construction. */
typedef struct mo__builder {
    const mo_model *model;
    mo_graph *g;
    mo_tensor **params; /* per parameter: its tensor in this graph, or NULL until first used */
    const mo_model_graph_options *options;
    mo_model_graph *out;
    mo__routing *routings; /* of the MoE layers so far */
    int n_routings;
} mo__builder;

/* Whether the graph goes on from caches. */
static inline bool mo__decodes(const mo__builder *b)
{
    return b->options->kind == MO_GRAPH_DECODE || b->options->kind == MO_GRAPH_READ;
}

/* Whether all that is wanted of a layer are its keys and values. */
static inline bool mo__ends_at_cache(const mo__builder *b, int64_t layer)
{
    return b->options->kind == MO_GRAPH_READ && layer == b->model->config.num_hidden_layers - 1;
}

/* ---- parameters (params.c) ---- */

mo_status mo__declare(mo_model *m, const char *name, int ndim, const int64_t *dim, mo_init_kind init,
                      double std);
/* The same below "model.layers.<layer>."; active: share of it that one token uses. */
mo_status mo__declare_layer(mo_model *m, int64_t layer, const char *name, int ndim, const int64_t *dim,
                            mo_init_kind init, double std, double active);
/* Under a full name, which is the model's from now on (or freed); NULL: MO_E_MEMORY. */
mo_status mo__declare_owned(mo_model *m, char *name, int ndim, const int64_t *dim, mo_init_kind init,
                            double std, double active);
/* A buffer of zeros below "model.layers.<layer>.": in the slab and in checkpoints, but no gradient flows to
 * it and the optimizer never moves it. */
mo_status mo__declare_buffer(mo_model *m, int64_t layer, const char *name, int ndim, const int64_t *dim);
mo_tensor *mo__param(mo__builder *b, const char *name);
mo_tensor *mo__layer_param(mo__builder *b, int64_t layer, const char *name);
/* Standard deviation of projections that write into the residual stream: initializer_range / sqrt(2 L). */
double mo__residual_std(const mo_model_config *c);

/* slabs.c: segments, and places of all parameters, once they are declared and what trains is known. */
mo_status mo__slabs_settle(mo_model *m);
void mo__slabs_free(mo_model *m);

/* ---- what trains ---- */

/* tuning.c: marks what is frozen. */
mo_status mo__tuning_apply(mo_model *m, const mo_tuning_config *tuning);
/* lora.c: adapters of all that was declared so far and is a target. */
mo_status mo__lora_declare(mo_model *m, const mo_tuning_config *tuning);

/* ---- dropout: in training graphs alone; each layer and site has a stream of masks of its own ---- */

enum {
    MO__DROP_EMBEDDING,
    MO__DROP_PROBABILITIES,
    MO__DROP_ATTENTION,
    MO__DROP_FFN,
    MO__DROP_ADAPTERS, /* one for each of lora.c's targets, of which a layer has each once at most */
    MO__DROP_SITES = 16
};
static inline int mo__drop_stream(int64_t layer, int site)
{
    return (int)(layer * MO__DROP_SITES + site);
}
static inline double mo__drop_probability(const mo__builder *b, double p)
{
    return b->options->kind == MO_GRAPH_TRAIN ? p : 0;
}
static inline mo_tensor *mo__drop(mo__builder *b, mo_tensor *x_ND, double p, int64_t layer, int site)
{
    return mo_dropout(b->g, x_ND, mo__drop_probability(b, p), mo__drop_stream(layer, site));
}

/* lora.c: x W^T, and what the matrix's adapter adds to it if it has one. */
mo_tensor *mo__adapted_linear(mo__builder *b, int64_t layer, const char *weight, mo_tensor *x_NI);
mo_tensor *mo__adapted_experts(mo__builder *b, int64_t layer, const char *weight, mo_tensor *x_RI,
                               const mo_dispatch_map *map);

/* ---- parts ---- */

mo_status mo__attention_declare(mo_model *m, int64_t layer);
mo_tensor *mo__attention_build(mo__builder *b, int64_t layer, mo_tensor *x_ND);
/* block: where its matrices are named, "mlp" or "mlp.shared_experts"; width: its inner one. */
mo_status mo__ffn_declare(mo_model *m, int64_t layer, const char *block, int64_t width);
mo_tensor *mo__ffn_build(mo__builder *b, int64_t layer, const char *block, mo_tensor *x_ND);
mo_status mo__moe_declare(mo_model *m, int64_t layer);
mo_tensor *mo__moe_build(mo__builder *b, int64_t layer, mo_tensor *x_ND);

/* [E], buffer: what routers with MO_ROUTER_BIAS add to scores to select (DeepSeek-V3's name for it). */
#define MO__BIAS_NAME "block_sparse_moe.gate.e_score_correction_bias"

typedef struct mo__router {
    mo_router_info info;
    mo_status (*check)(const mo_model_config *c);     /* its own rules, on a resolved config; may be NULL */
    mo_status (*declare)(mo_model *m, int64_t layer); /* its parameters; NULL without */
    mo__routing (*build)(mo__builder *b, int64_t layer, mo_tensor *x_ND); /* x_ND: what the router sees */
} mo__router;
extern const mo__router mo__router_topk, mo__router_noisy_topk, mo__router_switch, mo__router_gshard,
    mo__router_expert_choice, mo__router_sigmoid, mo__router_soft, mo__router_hierarchical, mo__router_hash,
    mo__router_random;

/* router.c: the table, and the rules that hold for all. */
const mo__router *mo__router_of(const mo_model_config *c);
mo_status mo__router_check(const mo_model_config *resolved);
/* z = x Wg^T, the logits of most routers, and their one parameter. */
mo_status mo__router_logits_declare(mo_model *m, int64_t layer);
mo_tensor *mo__router_logits(mo__builder *b, int64_t layer, mo_tensor *x_ND);

/* moe_capacity.c: the capacity factor of this graph, 0 without; tokens over which capacity is counted. */
double mo__capacity_factor(const mo__builder *b);
int64_t mo__capacity_group(const mo__builder *b);
/* Sets kept_NK, and rows where capacity bounds them. */
void mo__capacity_apply(mo__builder *b, mo__routing *r);
mo_status mo__capacity_check(const mo_model_config *resolved, const mo_router_info *info);

/* balance.c: which loss goes with which router. */
mo_status mo__balance_check(const mo_model_config *c, const mo_balance_config *b);
/* Adds the losses of a layer; after the last layer, those that pool all layers. */
void mo__balance_layer(mo__builder *b, const mo__routing *routing);
void mo__balance_pooled(mo__builder *b);

#endif
