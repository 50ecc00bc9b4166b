/* model.h -- decoder-only transformers with dense or Mixture-of-Experts blocks, and their parameters.
 *
 *     mo_model *m; MO_TRY(mo_model_create(&config, &m));       shapes and names; nothing is allocated
 *     MO_TRY(mo_model_allocate(m, MO_ALLOCATE_TRAINING));      slabs
 *     mo_model_init(m, seed);
 *     mo_model_graph *t; MO_TRY(mo_model_graph_create(m, &options, &t));   a planned graph
 *     ...
 *     mo_model_graph_free(t); mo_model_free(m);
 *
 * A graph borrows its model. Slabs are contiguous: values, gradients, first and second moments. */
#ifndef MOIRA_MODEL_H
#define MOIRA_MODEL_H

#include "moira/autograd.h"
#include "moira/ops.h"
#include "moira/optim.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum mo_router_kind {
    MO_ROUTER_TOPK,
    MO_ROUTER_NOISY_TOPK,
    MO_ROUTER_SWITCH,
    MO_ROUTER_GSHARD,
    MO_ROUTER_EXPERT_CHOICE,
    MO_ROUTER_SIGMOID,
    MO_ROUTER_SOFT,
    MO_ROUTER_HIERARCHICAL,
    MO_ROUTER_HASH,
    MO_ROUTER_RANDOM,
    MO_ROUTERS
} mo_router_kind;
typedef enum mo_activation { MO_ACT_SWIGLU, MO_ACT_GEGLU, MO_ACT_GELU, MO_ACT_RELU } mo_activation;
typedef enum mo_norm_kind { MO_NORM_RMS, MO_NORM_LAYER } mo_norm_kind;
/* Where queries and keys are normed: nowhere, over the width of all heads (OLMoE), each head (Qwen3). */
typedef enum mo_qk_norm { MO_QK_NORM_NONE, MO_QK_NORM_LAYER, MO_QK_NORM_HEAD } mo_qk_norm;
/* A truth value that the router may have to decide. */
typedef enum mo_choice { MO_CHOICE_FALSE, MO_CHOICE_TRUE, MO_CHOICE_DEFAULT } mo_choice;
typedef enum mo_scope { MO_SCOPE_SEQUENCE, MO_SCOPE_MICROBATCH, MO_SCOPE_BATCH } mo_scope;
/* Names in configs, NULL at the end. */
extern const char *const mo_router_names[],
    *const mo_activation_names[],
        *const mo_norm_names[], *const mo_qk_norm_names[],
                                    *const mo_choice_names[], *const mo_scope_names[], *const mo_drop_names[];

enum {                         /* what a router can do, and what it takes */
       MO_ROUTER_SCORES = 1,   /* probabilities of the experts, which losses, jitter and ranking need */
       MO_ROUTER_NOISE = 2,    /* noisy logits, which the load loss needs */
       MO_ROUTER_CAPACITY = 4, /* tokens choose, so an expert can be full */
       MO_ROUTER_GROUPS = 8,   /* n_group and topk_group */
       MO_ROUTER_BIAS = 16,    /* a selection bias that is moved once a step */
       MO_ROUTER_EVEN = 32,    /* every expert gets as much as the others by construction */
       MO_ROUTER_FUTURE = 64,  /* a token's experts hang on later tokens: training and evaluation only */
       MO_ROUTER_LEVELS = 128  /* two choices, of groups and within them, each with a softmax of its own */
};

/* A router in words, for help and for the rules of configs. */
typedef struct mo_router_info {
    const char *name;      /* in configs */
    const char *scores;    /* the formula, in three parts: scores, */
    const char *selection; /* selection, */
    const char *weights;   /* weights */
    const char *source;    /* paper and equation */
    const char *about;     /* one paragraph: what it is for, what it asks of the user */
    unsigned traits;       /* MO_ROUTER_SCORES ... */
    int64_t experts;       /* num_experts_per_tok: the only one; 0 = any (2 unless given), -1 = all experts */
    int normalises; /* mo_choice of norm_topk_prob: the only one; DEFAULT = either (true unless given) */
} mo_router_info;
const mo_router_info *mo_router_describe(int router); /* mo_router_kind */

/* Names are Hugging Face's. */
typedef struct mo_model_config {
    int64_t vocab_size;                                                  /* 0 = the data's */
    int64_t hidden_size, intermediate_size, moe_intermediate_size;       /* moe_...: 0 = intermediate_size */
    int64_t num_hidden_layers, num_attention_heads, num_key_value_heads; /* kv: 0 = num_attention_heads */
    int64_t head_dim;                /* 0 = hidden_size / num_attention_heads */
    int64_t max_position_embeddings; /* the longest sequence */
    int64_t sliding_window;          /* tokens that a token attends to, itself included; 0 = all */
    int64_t num_local_experts;       /* 0 = dense */
    int64_t num_experts_per_tok;     /* 0 = the router's own */
    int64_t n_shared_experts;        /* beside the routed ones, for every token */
    /* Layer l has experts if l >= first_k_dense_replace and l % moe_layer_freq == 0 (0 = 1). */
    int64_t first_k_dense_replace, moe_layer_freq;
    int router;                        /* mo_router_kind */
    int norm_topk_prob;                /* mo_choice */
    int64_t n_group, topk_group;       /* 0 = 1 group; 0 = all groups */
    double routed_scaling_factor;      /* sigmoid: on the weights; 0 = 1 */
    double noise_floor;                /* noisy routers: added to softplus(x W_noise) */
    double router_jitter_noise;        /* on the router's input in training: times U(1-e, 1+e) */
    bool jitter_experts;               /* the routed experts get the input with jitter too */
    double capacity_factor;            /* 0 or NaN = dropless; expert_choice: experts of a token on average */
    double eval_capacity_factor;       /* 0 or NaN = as in training */
    int capacity_drop, capacity_scope; /* mo_drop, mo_scope */
    int hidden_act;                    /* mo_activation */
    int norm, qk_norm;                 /* mo_norm_kind, mo_qk_norm */
    double clip_qkv;                   /* queries, keys, values within +-this; 0 or NaN = no limit */
    double rope_theta, rms_norm_eps, initializer_range;
    bool tie_word_embeddings;
    /* Dropout in training, in [0, 1): of the embedding, of attention's and the feed-forward block's output
     * before it is added to the residual stream, and of attention's probabilities. */
    double embd_pdrop, resid_pdrop, attention_dropout;
} mo_model_config;

/* Coefficients of the balancing losses; 0 = off. Scale: every loss is averaged over the MoE layers and over
 * tokens (or groups, by their tokens). */
typedef struct mo_balance_config {
    double switch_loss, mixtral, gshard, sequence, importance, load,
        z_loss; /* in the order of mo_balance_kind */
    int scope;  /* mo_scope: over what f, P, importance and load are counted */
    /* mo_loss_scope of one loss. `sequence` is always over sequences, and z_loss is a mean over tokens. */
    int switch_scope, mixtral_scope, gshard_scope, importance_scope, load_scope;
    /* Routers with a selection bias: after each optimizer step b_e += rate * (s_e - mean of s), s_e the sign
     * of (mean load - load of e) over the whole step (arXiv:2408.15664, algorithm 1). */
    double bias_update_rate;
} mo_balance_config;
typedef enum mo_loss_scope {
    MO_LOSS_SCOPE_DEFAULT, /* as `scope` */
    MO_LOSS_SCOPE_SEQUENCE,
    MO_LOSS_SCOPE_MICROBATCH,
    MO_LOSS_SCOPE_BATCH
} mo_loss_scope;
extern const char *const mo_loss_scope_names[]; /* in configs, NULL at the end */

/* The losses by number: their config keys, their coefficients, over what each is counted. */
typedef enum mo_balance_kind {
    MO_BALANCE_SWITCH,
    MO_BALANCE_MIXTRAL,
    MO_BALANCE_GSHARD,
    MO_BALANCE_SEQUENCE,
    MO_BALANCE_IMPORTANCE,
    MO_BALANCE_LOAD,
    MO_BALANCE_Z_LOSS,
    MO_BALANCE_LOSSES
} mo_balance_kind;
extern const char *const mo_balance_names[MO_BALANCE_LOSSES];
double mo_balance_coefficient(const mo_balance_config *config, int kind);
mo_scope mo_balance_scope(const mo_balance_config *config, int kind);
/* Why a loss does not go with a router: a clause for a message. NULL if it goes. */
const char *mo_balance_objection(int kind, int router);

/* A loss in words, for help. */
typedef struct mo_balance_info {
    const char *formula;  /* of one layer */
    const char *balanced; /* its value where all experts get the same; "" = no certain one */
    const char *over;     /* over which tokens; NULL: as mo_balance_scope says */
    const char *source;   /* paper and equation */
    const char *about;    /* one paragraph: what it is for, the coefficients that were published */
} mo_balance_info;
const mo_balance_info *mo_balance_describe(int kind); /* mo_balance_kind */

/* Ranges, and every rule that ties two settings together; the message names both keys and their values. */
mo_status mo_model_config_check(const mo_model_config *config, const mo_balance_config *balance);

/* ---- what trains ---- */

typedef struct mo_text {
    char *text;
} mo_text;

/* Which of a model's parameters train, and what is added to those that do not. */
typedef struct mo_tuning_config {
    struct {
        mo_text *at; /* globs or words (mo_optim_matches); one that begins with ! trains again what fits it */
        int64_t count;
    } freeze; /* in order: the last that fits a parameter counts; of a router with a bias, the bias too */
    /* Low-rank adapters (Hu et al. 2021, arXiv:2106.09685, eq. 3): y = W x + alpha/rank B A drop(x), A [rank,
     * I] drawn at the begin, B [O, rank] zero; of experts, one pair for each. All other parameters are
     * frozen but for those that freeze thaws with !. */
    struct {
        int64_t rank; /* 0 = no adapters */
        double alpha, dropout;
        struct {
            mo_text
                *at; /* q_proj, k_proj, v_proj, o_proj, w1, w2, w3 (experts), gate_proj, up_proj, down_proj */
            int64_t count;
        } targets; /* none given: all that the model has */
    } lora;
} mo_tuning_config;

/* ---- parameters ---- */

typedef enum mo_init_kind { MO_INIT_NORMAL, MO_INIT_ONE, MO_INIT_ZERO, MO_INIT_UNIFORM } mo_init_kind;

/* One named view into the slabs. */
typedef struct mo_param {
    char *name; /* Hugging Face's, with a layer's experts stacked: ...experts.w1.weight is [E, F, D] */
    int ndim;
    int64_t dim[4];
    int64_t count, offset;   /* elements; the same offset in every slab */
    double active;           /* share of the elements that one token uses: K/E for experts, 1 for the rest */
    bool decay;              /* weight decay applies: parameters of two and more dimensions */
    bool buffer;             /* no gradient, no moments, in no group of the optimizer, not counted */
    bool frozen;             /* never changes: no gradient, no moments; of a buffer, its rule rests */
    const mo_stored *stored; /* of a frozen parameter: its values are there and not in the slab; else NULL */
    int init;                /* mo_init_kind */
    double init_std;         /* of MO_INIT_UNIFORM the bound */
} mo_param;

/* Whether the optimizer moves it: it has a gradient and moments. */
static inline bool mo_param_trains(const mo_param *p)
{
    return !p->frozen && !p->buffer;
}

typedef struct mo_model {
    mo_model_config config; /* with every 0-means-default filled in */
    mo_param *params;
    int n_params;
    int64_t elements;  /* of the value slab, padding between parameters included */
    int64_t trainable; /* of the other three: what trains lies first in the value slab, at the same offsets */
    mo_real *value, *grad, *m, *v; /* slabs; NULL until allocated, the last three only for training */
    double lora_scale;             /* alpha / rank; 0 = no adapters */
    double lora_dropout;
    mo_segment *segments;     /* [n_params] */
    const mo_param **by_name; /* params, sorted */
} mo_model;

typedef enum mo_allocate { MO_ALLOCATE_INFERENCE, MO_ALLOCATE_TRAINING } mo_allocate;

/* Checks the configuration (vocab_size must be known by now) and lays out the parameters. */
mo_status mo_model_create(const mo_model_config *config, mo_model **out);
void mo_model_free(mo_model *m);
/* The same with parts frozen and adapters added; tuning NULL: everything trains. MO_E_CONFIG for a pattern or
 * target that fits nothing, and if nothing would train. */
mo_status mo_model_create_tuned(const mo_model_config *config, const mo_tuning_config *tuning,
                                mo_model **out);
/* What mo_model_create_tuned would say of the two, vocab_size known or not. */
mo_status mo_tuning_check(const mo_model_config *config, const mo_tuning_config *tuning);
/* Whether anything is frozen or added. */
bool mo_tuning_given(const mo_tuning_config *tuning);
/* Freezes everything, to evaluate: before mo_model_map and allocation. */
void mo_model_freeze(mo_model *m);
/* Leaves a frozen matrix where it lies: its place in the slab goes to others. Before allocation and before
 * any graph; stored is borrowed while the model lives. */
void mo_model_map(mo_model *m, const mo_param *p, const mo_stored *stored);
/* Elements first .. first + count of a parameter, wherever it lies. */
void mo_model_values(const mo_model *m, const mo_param *p, int64_t first, int64_t count, mo_real *out);
/* The matrix W_part + lora_scale B_part A_part of a parameter with an adapter, else W_part, wherever it lies:
 * out[count / parts]. part: expert of a stack of three dimensions, else 0. MO_E_MEMORY. */
mo_status mo_model_merged(const mo_model *m, const mo_param *p, int64_t part, mo_real *out);
/* Gives the segments the rates of the optimizer's groups; MO_E_CONFIG for a group that fits no parameter. */
mo_status mo_model_group(mo_model *m, const mo_optim_config *config);
mo_status mo_model_allocate(mo_model *m, mo_allocate what);
/* Fills the values: a pure function of the seed and each parameter's name. */
void mo_model_init(mo_model *m, uint64_t seed);
const mo_param *mo_model_find(const mo_model *m, const char *name); /* NULL if there is none */
mo_slabs mo_model_slabs(const mo_model *m);
/* Moves the selection bias of a layer whose router has one, after an optimizer step: load_E are the choices
 * of each expert in the whole step, all its microbatches. See bias_update_rate. A frozen one stays. */
void mo_model_move_bias(mo_model *m, int64_t layer, const double *load_E, double rate);

/* Gives num_experts_per_tok and norm_topk_prob the router's own values where they are 0 and DEFAULT. */
void mo_model_config_settle_router(mo_model_config *config);
/* Fills in whatever 0 (or DEFAULT) stands for. */
void mo_model_config_resolve(mo_model_config *config);
/* Whether a layer has experts; how many have (of a resolved config). */
bool mo_model_config_is_moe(const mo_model_config *config, int64_t layer);
int64_t mo_model_config_moe_layers(const mo_model_config *config);
/* Experts that work on a token, without capacity, on average (of a resolved config). */
double mo_model_config_experts_per_token(const mo_model_config *config);

typedef struct mo_model_count {
    int64_t total, active;  /* parameters; active: those that one token uses */
    int64_t trainable;      /* of total: what the optimizer moves */
    int64_t embedding;      /* of total: token embedding (and head, if tied) */
    double flops_per_token; /* training, at the given sequence length: 6 N + 6 L T d, N = active matrices
                               without the embedding lookup, with the head; of frozen ones 4 N, or 2 N in
                               layers before the first that trains; T (2 - T/length) in place of T
                               where a sliding window T is shorter than the sequence */
} mo_model_count;
mo_model_count mo_model_counts(const mo_model *m, int64_t sequence_length);

/* Parameters of one kind: routers, embeddings, attention, experts (shared ones too), feed-forward (of dense
 * layers), norms, head, and adapters of them. Bytes in memory, but for what is mapped. */
typedef struct mo_model_part {
    const char *name;
    int64_t parameters, trained;
    uint64_t value_bytes, mapped_bytes, gradient_bytes, moment_bytes;
} mo_model_part;
enum { MO_MODEL_PARTS = 14 };
/* The parts that the model has; returns how many. */
int mo_model_parts(const mo_model *m, mo_model_part out[MO_MODEL_PARTS]);
/* Whether some of the model is frozen. */
bool mo_model_tuned(const mo_model *m);

/* ---- graphs ---- */

typedef enum mo_graph_kind {
    MO_GRAPH_TRAIN,  /* loss, balancing losses, backward */
    MO_GRAPH_LOSS,   /* loss per token, forward only */
    MO_GRAPH_DECODE, /* logits of every position of sequences that go on from key-value caches */
    MO_GRAPH_READ    /* the same without logits: it fills the caches, and stops where that is done */
} mo_graph_kind;

typedef struct mo_model_graph_options {
    mo_graph_kind kind;
    int64_t batch_size, sequence_length;
    mo_balance_config balance; /* TRAIN only */
    mo_recompute recompute;    /* TRAIN only */
    mo_kv_cache *caches;       /* DECODE, READ: [layers, batch_size], borrowed */
    bool routing;              /* LOSS: weights and probabilities of the experts stay readable too */
} mo_model_graph_options;

/* What a router did in the last forward. stats: [E + MO_ROUTER_SUMS], see mo_router_stats. */
typedef struct mo_layer_routing {
    int layer;
    const mo_tensor *stats;
    const mo_tensor *ids_NK; /* the selection before capacity; readable after a LOSS graph's run */
    const mo_tensor
        *w_NK; /* its weights, which mean something where ids are not -1; and the probabilities, */
    const mo_tensor *p_NE; /* NULL without scores: both readable in a graph that was asked for its routing */
} mo_layer_routing;

typedef struct mo_model_graph {
    const mo_model *model; /* borrowed */
    mo_graph *graph;
    int64_t batch_size, sequence_length;
    mo_tensor *tokens, *targets, *positions, *starts; /* int32 [N]; targets NULL for DECODE, READ */
    mo_tensor *logits;                                /* DECODE: [N, V], else NULL */
    mo_tensor **params;  /* per parameter of the model: its tensor in this graph, or NULL */
    mo_tensor *row_loss; /* [N] float64 nats, 0 where nothing is predicted; not DECODE, READ */
    int loss;            /* index of the cross-entropy, or -1 */
    struct mo_balance_term {
        int loss, kind;     /* index of the graph's loss; which balancing loss */
        double coefficient; /* already divided by the number of layers that it is averaged over */
    } * terms;
    int n_terms;
    mo_layer_routing *routing; /* MoE layers */
    int n_routing;
} mo_model_graph;

/* Whether a model can write text: MO_E_CONFIG, with the reason, for a router whose choices hang on tokens
 * that are not there yet (expert_choice). Such a model has no DECODE graph. */
mo_status mo_model_decode_check(const mo_model_config *config);
/* Builds and plans; mo_graph_bind(graph->graph, arena) is the caller's. */
mo_status mo_model_graph_create(const mo_model *m, const mo_model_graph_options *options,
                                mo_model_graph **out);
void mo_model_graph_free(mo_model_graph *t);
/* Points the graph's parameters at the model's slabs, after allocation. */
void mo_model_graph_attach(mo_model_graph *t);
/* Sets the loss scales of a step that predicts `predicted` tokens and has `valid` tokens that are no padding.
 */
void mo_model_graph_scale(mo_model_graph *t, int64_t predicted, int64_t valid);
/* Unscaled sums of the last run: cross-entropy in nats, and each kind's balancing loss averaged over its
 * layers but summed over tokens (divide by the step's valid tokens). */
double mo_model_graph_loss(const mo_model_graph *t, double balance[MO_BALANCE_LOSSES]);

#ifdef __cplusplus
}
#endif
#endif
