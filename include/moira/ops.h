/* ops.h -- the operators. Each is one file in src/ops/ that opens with its equations.
 *
 * Shape legend: B sequences, T tokens of a sequence, N = B*T tokens, D hidden, F expert hidden, H heads,
 * E experts, K experts per token, R = N*K routed rows, V vocabulary. x_ND is [N, D].
 * `tokens` (int32 [N]) doubles as the padding mask: a negative id is padding.
 * All constructors follow mo_graph's sticky errors: on bad shapes they return NULL and the graph fails. */
#ifndef MOIRA_OPS_H
#define MOIRA_OPS_H

#include "moira/autograd.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- plain ---- */

/* y_nd = table_[tokens_n]d, 0 for padding. */
mo_tensor *mo_embedding(mo_graph *g, mo_tensor *tokens_N, mo_tensor *table_VD);
/* y_no = sum_i x_ni w_oi. */
mo_tensor *mo_linear(mo_graph *g, mo_tensor *x_NI, mo_tensor *w_OI);
mo_tensor *mo_rmsnorm(mo_graph *g, mo_tensor *x_ND, mo_tensor *w_D, double eps);
mo_tensor *mo_add(mo_graph *g, mo_tensor *a_ND, mo_tensor *b_ND);
/* y_nd = x_nd m_nd / (1 - p), m_nd = 0 with probability p, a pure function of (seed, step, stream, token
 * index within the step, d); without run->training, y = x. p in [0, 1): 0 adds no node and gives x. stream,
 * below 2^24: each use in a model has its own. */
mo_tensor *mo_dropout(mo_graph *g, mo_tensor *x_ND, double p, int stream);
/* Rotary embedding, rotate-half, of x [N, heads*head_dim] at positions_N. */
mo_tensor *mo_rope(mo_graph *g, mo_tensor *x, mo_tensor *positions_N, int64_t head_dim, double theta);
typedef enum mo_act_kind { MO_ACT_KIND_SILU, MO_ACT_KIND_GELU, MO_ACT_KIND_RELU } mo_act_kind;
mo_tensor *mo_act(mo_graph *g, mo_tensor *x_NF, mo_act_kind kind);
/* act(gate) * up: SwiGLU with silu, GeGLU with gelu. */
mo_tensor *mo_glu(mo_graph *g, mo_tensor *gate_NF, mo_tensor *up_NF, mo_act_kind kind);
/* Over the last dimension. */
mo_tensor *mo_softmax(mo_graph *g, mo_tensor *z_NE);

/* Keys and values of past tokens for decoding: [capacity, kv_heads*head_dim] each, for one sequence. */
typedef struct mo_kv_cache {
    mo_real *k, *v;   /* owned by the caller */
    int64_t capacity; /* positions */
    int64_t length;   /* positions filled so far; the caller advances it after a forward */
} mo_kv_cache;
typedef struct mo_attention_options {
    int64_t sequence_length, head_dim;
    mo_kv_cache *cache; /* B = 1, no backward, no dropout: keys are its `length` positions, then these T */
    /* In training a probability is 0 with probability `dropout`, else divided by 1 - dropout, after they were
     * normalised; a pure function of (seed, step, stream, token index within the step, head, key). */
    double dropout;
    int dropout_stream; /* see mo_dropout */
} mo_attention_options;
/* Causal grouped-query attention: query t sees keys s with starts_t <= s <= t of its own sequence (starts are
 * indices within the sequence: packed documents do not see each other). N = B*T with T = sequence_length. */
mo_tensor *mo_attention(mo_graph *g, mo_tensor *q, mo_tensor *k, mo_tensor *v, mo_tensor *starts_N,
                        const mo_attention_options *options);

/* LM head and cross-entropy in one: loss = sum_n -log softmax(x_n w^T)[target_n] over targets >= 0, in nats,
 * not averaged. [1] MO_F64. rows_N, if not NULL, receives each row's own loss (MO_F64; 0 where target < 0).
 */
mo_tensor *mo_cross_entropy(mo_graph *g, mo_tensor *x_ND, mo_tensor *w_VD, mo_tensor *targets_N,
                            mo_tensor **rows_N);

/* ---- mixture of experts: scores, selection, weights, dispatch, experts, combine ---- */

/* Shazeer 2017 eq. 4: h = z + eps * sigma, sigma = softplus(s) + floor, eps ~ N(0,1) a pure function of
 * (seed, step, layer, token index within the step, expert). Without run->training, h = z. Returns h; the
 * node's second output is sigma (written in training and not). */
mo_tensor *mo_noisy_logits(mo_graph *g, mo_tensor *z_NE, mo_tensor *s_NE, double floor, int layer,
                           mo_tensor **sigma_NE);
/* ids of the K largest scores of each token in falling order, lowest id first among equals; -1 for padding.
 */
mo_tensor *mo_topk(mo_graph *g, mo_tensor *scores_NE, mo_tensor *tokens_N, int64_t K);
typedef enum mo_gate_mode {
    MO_GATE_SELECT,    /* w = score of the selected */
    MO_GATE_NORMALISE, /* the same over their sum */
    MO_GATE_SOFTMAX    /* softmax over the selected scores */
} mo_gate_mode;
mo_tensor *mo_gate(mo_graph *g, mo_tensor *scores_NE, mo_tensor *ids_NK,
                   mo_gate_mode mode); /* w_NK, 0 for padding */

/* Rows of all tokens' choices, sorted by expert, within an expert by token (then choice). int32. */
typedef struct mo_dispatch_map {
    mo_tensor *offsets_E1; /* expert e owns rows offsets[e] .. offsets[e+1] */
    mo_tensor *token_R;    /* row -> token; -1 past the last row */
    mo_tensor *row_NK;     /* (token, choice) -> row; -1 for padding */
} mo_dispatch_map;
mo_dispatch_map mo_dispatch(mo_graph *g, mo_tensor *ids_NK, int64_t E);
/* xr_r = x_[token_r]; rows past the last are zero. */
mo_tensor *mo_gather(mo_graph *g, mo_tensor *x_ND, const mo_dispatch_map *map);
/* y_r = W_[expert of r] x_r; rows past the last are zero. W is [E, O, I]. */
mo_tensor *mo_experts(mo_graph *g, mo_tensor *x_RI, mo_tensor *w_EOI, const mo_dispatch_map *map);
/* out_n = sum_k w_nk y_[row_nk]. */
mo_tensor *mo_combine(mo_graph *g, mo_tensor *y_RD, mo_tensor *w_NK, const mo_dispatch_map *map);

/* What a router did, for metrics; no gradient. [E + 4] MO_F64: assignments to each expert, then sums over
 * valid tokens of: 1, the entropy of p in nats, the largest p, (logsumexp z)^2. p_NE = softmax(z_NE). */
mo_tensor *mo_router_stats(mo_graph *g, mo_tensor *z_NE, mo_tensor *p_NE, mo_tensor *ids_NK);

/* ---- balancing losses: [1] MO_F64, the sum over groups of (valid tokens of the group) * loss(group) ----
 * Divide by the valid tokens of the step to get the mean. group = tokens of one group: T for scope
 * `sequence`, N for `microbatch`. Padding (ids -1) counts nowhere. P is of the full softmax. */

/* Switch (Fedus 2021, eq. 4), for K choices: E/K * sum_e f_e P_e, f_e = assignments to e / tokens; 1 when
 * balanced. */
mo_tensor *mo_balance_switch(mo_graph *g, mo_tensor *p_NE, mo_tensor *ids_NK, int64_t group);
/* Hugging Face's Mixtral form: tokens of all layers pooled, E * sum_e (sum_k f_ke) P_e; K when balanced. */
mo_tensor *mo_balance_mixtral(mo_graph *g, int layers, mo_tensor *const *p_NE, mo_tensor *const *ids_NK,
                              int64_t group);
/* Shazeer 2017 eq. 6-7: CV^2 of sum_n G(x_n)_e, population variance. */
mo_tensor *mo_balance_importance(mo_graph *g, mo_tensor *w_NK, mo_tensor *ids_NK, int64_t E, int64_t group);
/* Shazeer 2017 eq. 8-10: CV^2 of sum_n Phi((z_ne - kth_excluding_e(h_n)) / sigma_ne); hard counts without
 * gradient where K = E or without noise (evaluation). */
mo_tensor *mo_balance_load(mo_graph *g, mo_tensor *z_NE, mo_tensor *h_NE, mo_tensor *sigma_NE,
                           mo_tensor *ids_NK, int64_t group);
/* ST-MoE (Zoph 2022) eq. 5: mean over tokens of (logsumexp z)^2. */
mo_tensor *mo_z_loss(mo_graph *g, mo_tensor *z_NE, mo_tensor *tokens_N);

#ifdef __cplusplus
}
#endif
#endif
