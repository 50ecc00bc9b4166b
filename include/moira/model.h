/* model.h -- decoder-only transformers with dense or Mixture-of-Experts blocks, and their parameters.
 *
 *     mo_model *m; MO_TRY(mo_model_create(&config, &m));       shapes and names; nothing is allocated
 *     MO_TRY(mo_model_allocate(m, MO_ALLOCATE_TRAINING));      slabs
 *     mo_model_init(m, seed);
 *     mo_model_graph *t; MO_TRY(mo_model_graph_create(m, &options, &t));   a planned, bound graph
 *     ...
 *     mo_model_graph_free(t); mo_model_free(m);
 *
 * A graph borrows its model. Slabs are contiguous: values, gradients, first and second moments. */
#ifndef MOIRA_MODEL_H
#define MOIRA_MODEL_H

#include "moira/autograd.h"
#include "moira/optim.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum mo_router_kind { MO_ROUTER_TOPK, MO_ROUTER_NOISY_TOPK } mo_router_kind;
typedef enum mo_activation { MO_ACT_SWIGLU, MO_ACT_GEGLU, MO_ACT_GELU, MO_ACT_RELU } mo_activation;
typedef enum mo_scope { MO_SCOPE_SEQUENCE, MO_SCOPE_MICROBATCH, MO_SCOPE_BATCH } mo_scope;

/* Names are Hugging Face's. */
typedef struct mo_model_config {
    int64_t vocab_size;                                                  /* 0 = the data's */
    int64_t hidden_size, intermediate_size, moe_intermediate_size;       /* moe_...: 0 = intermediate_size */
    int64_t num_hidden_layers, num_attention_heads, num_key_value_heads; /* kv: 0 = num_attention_heads */
    int64_t head_dim;                /* 0 = hidden_size / num_attention_heads */
    int64_t max_position_embeddings; /* the longest sequence */
    int64_t num_local_experts;       /* 0 = dense */
    int64_t num_experts_per_tok;
    int router; /* mo_router_kind */
    bool norm_topk_prob;
    double noise_floor; /* noisy_topk: added to softplus(x W_noise) */
    int hidden_act;     /* mo_activation */
    double rope_theta, rms_norm_eps, initializer_range;
    bool tie_word_embeddings;
} mo_model_config;

/* Coefficients of the balancing losses; 0 = off. Scale: every loss is averaged over the MoE layers and over
 * tokens (or groups, by their tokens). */
typedef struct mo_balance_config {
    double switch_loss, mixtral, importance, load, z_loss;
    int scope; /* mo_scope: over what f, P, importance and load are counted */
} mo_balance_config;

/* Every rule that ties two settings together; the message names both keys and their values. */
mo_status mo_model_config_check(const mo_model_config *config, const mo_balance_config *balance);

#ifdef __cplusplus
}
#endif
#endif
