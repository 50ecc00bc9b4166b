/* ops.h -- the operators. Each is one file in src/ops/ that opens with its equations.
 *
 * Shape legend: B sequences, T tokens of a sequence, N = B*T tokens, D hidden, F expert hidden, H heads,
 * E experts, K experts per token, R routed rows (N*K, or a capacity's bound), V vocabulary. x_ND is [N, D].
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
/* w as wide as x; or a divisor of its width, and then each such block of x is normed by itself (heads). */
mo_tensor *mo_rmsnorm(mo_graph *g, mo_tensor *x_ND, mo_tensor *w_D, double eps);
/* y = (x - mean) / sqrt(var + eps) * w, population variance; no bias. */
mo_tensor *mo_layernorm(mo_graph *g, mo_tensor *x_ND, mo_tensor *w_D, double eps);
/* min(max(x, -limit), limit); the gradient passes where |x| <= limit. */
mo_tensor *mo_clamp(mo_graph *g, mo_tensor *x_ND, double limit);
/* s x; 1 adds no node and gives x. */
mo_tensor *mo_scale(mo_graph *g, mo_tensor *x, double s);
/* y_n = w_n x_n. */
mo_tensor *mo_scale_rows(mo_graph *g, mo_tensor *x_NI, mo_tensor *w_N);
mo_tensor *mo_add(mo_graph *g, mo_tensor *a_ND, mo_tensor *b_ND);
/* y_nd = x_nd m_nd / (1 - p), m_nd = 0 with probability p, a pure function of (seed, step, stream, token
 * index within the step, d); without run->training, y = x. p in [0, 1): 0 adds no node and gives x. stream,
 * below 2^24: each use in a model has its own. */
mo_tensor *mo_dropout(mo_graph *g, mo_tensor *x_ND, double p, int stream);
/* Rotary embedding, rotate-half, of x [N, heads*head_dim] at positions_N. */
mo_tensor *mo_rope(mo_graph *g, mo_tensor *x, mo_tensor *positions_N, int64_t head_dim, double theta);
typedef enum mo_act_kind {
    MO_ACT_KIND_SILU,
    MO_ACT_KIND_GELU,
    MO_ACT_KIND_RELU,
    MO_ACT_KIND_SIGMOID /* for scores: mo_glu refuses it */
} mo_act_kind;
mo_tensor *mo_act(mo_graph *g, mo_tensor *x_NF, mo_act_kind kind);
/* act(gate) * up: SwiGLU with silu, GeGLU with gelu. */
mo_tensor *mo_glu(mo_graph *g, mo_tensor *gate_NF, mo_tensor *up_NF, mo_act_kind kind);
/* The same times w_n. */
mo_tensor *mo_glu_weighted(mo_graph *g, mo_tensor *gate_NF, mo_tensor *up_NF, mo_tensor *w_N,
                           mo_act_kind kind);
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
    int64_t sliding_window; /* keys that a query sees, its own included; 0 = all before it */
    /* [B], B = 1 unless T = 1; no backward, no dropout: keys are a cache's `length` positions, then these T.
     */
    mo_kv_cache *cache;
    /* In training a probability is 0 with probability `dropout`, else divided by 1 - dropout, after they were
     * normalised; a pure function of (seed, step, stream, token index within the step, head, key). */
    double dropout;
    int dropout_stream; /* see mo_dropout */
} mo_attention_options;
/* Causal grouped-query attention: query t sees keys s with starts_t <= s <= t of its own sequence (starts are
 * indices within the sequence: packed documents do not see each other), of a window the last
 * `sliding_window`. N = B*T with T = sequence_length. */
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
/* y_nd = x_nd u_nd in training, u uniform in [1 - eps, 1 + eps), a pure function of (seed, step, layer, token
 * index within the step, d); y = x else. eps in [0, 1): 0 adds no node and gives x. Fedus 2021, appendix C.
 */
mo_tensor *mo_jitter(mo_graph *g, mo_tensor *x_ND, double eps, int layer);
/* p_ne = s_ne / (sum_e s_ne + 1e-20), for scores that are not negative. */
mo_tensor *mo_row_shares(mo_graph *g, mo_tensor *s_NE);
/* Log-probabilities of experts in two levels: group g of G has the experts g*E/G .. (g+1)*E/G - 1, and
 * z_ne = log softmax(a_n)_g(e) + log softmax over e's group (b_n)_e, so that softmax(z) is their product. */
mo_tensor *mo_two_level_logits(mo_graph *g, mo_tensor *a_NG, mo_tensor *b_NE);

/* ---- selection: ids (int32), -1 where there is none: padding, or a choice that was dropped ---- */

/* ids of the K largest scores of each token in falling order, lowest id first among equals; -1 for padding.
 */
mo_tensor *mo_topk(mo_graph *g, mo_tensor *scores_NE, mo_tensor *tokens_N, int64_t K);
/* DeepSeek-V3 (arXiv:2412.19437, eq. 13 and 16): the K largest of s + b, within the topk_group of the n_group
 * groups of neighbouring experts whose two largest s + b have the largest sum. n_group 1: no groups. Order
 * and ties as in mo_topk. No gradient; bias_E gets none. */
mo_tensor *mo_topk_limited(mo_graph *g, mo_tensor *s_NE, mo_tensor *bias_E, mo_tensor *tokens_N, int64_t K,
                           int64_t n_group, int64_t topk_group);
/* Of each chosen group (ids among n_group, groups_NJ) the ids of its K largest scores: [N, J*K], group by
 * group in the order of groups_NJ. */
mo_tensor *mo_topk_within(mo_graph *g, mo_tensor *scores_NE, mo_tensor *groups_NJ, int64_t n_group,
                          int64_t K);
/* Zhou 2022 (arXiv:2202.09368), eq. 1: in each group of `group` tokens, of which `valid` are no padding,
 * every expert takes its C = min(valid, ceil(factor * valid / E)) tokens of largest p, the first among
 * equals. ids_NE: e where expert e took token n, else -1. factor E: all of them. */
mo_tensor *mo_expert_choice(mo_graph *g, mo_tensor *p_NE, mo_tensor *tokens_N, double factor, int64_t group);
/* K different experts for each token id, a fixed hash of (layer, id): Roller 2021. */
mo_tensor *mo_hash_choice(mo_graph *g, mo_tensor *tokens_N, int64_t E, int64_t K, int layer);
/* K different experts at random: in training a pure function of (seed, step, layer, token index within the
 * step), else of (layer, position, token id), so that decoding with a cache agrees. */
mo_tensor *mo_random_choice(mo_graph *g, mo_tensor *tokens_N, mo_tensor *positions_N, int64_t E, int64_t K,
                            int layer);
/* GShard (arXiv:2006.16668), algorithm 1: in training the second choice stays with probability min(1, 2 w_2),
 * a pure function of (seed, step, layer, token index within the step); in evaluation it always stays. */
mo_tensor *mo_keep_second(mo_graph *g, mo_tensor *ids_N2, mo_tensor *w_N2, int layer);

typedef enum mo_drop { MO_DROP_POSITION, MO_DROP_PROBABILITY } mo_drop;
typedef struct mo_capacity_options {
    int64_t experts;
    double factor; /* an expert takes at most ceil(factor * K * valid / E) choices of a group, valid: its
                      tokens that are no padding */
    mo_drop drop;  /* who comes first among the same choice: earlier tokens, or larger scores */
    int64_t group; /* tokens over which choices are counted */
} mo_capacity_options;
/* ids_NK without the choices that find their expert full. All first choices come before all second ones, and
 * so on. scores_NE ranks a choice by its expert's score (then position); NULL with MO_DROP_POSITION. */
mo_tensor *mo_capacity(mo_graph *g, mo_tensor *ids_NK, mo_tensor *tokens_N, mo_tensor *scores_NE,
                       const mo_capacity_options *options);
/* Rows that N tokens can fill at most: under a capacity, and under mo_expert_choice. */
int64_t mo_capacity_rows(const mo_capacity_options *options, int64_t N, int64_t K);
int64_t mo_expert_choice_rows(int64_t N, int64_t E, double factor, int64_t group);

/* ---- weights ---- */
typedef enum mo_gate_mode {
    MO_GATE_SELECT,    /* w = score of the selected */
    MO_GATE_NORMALISE, /* the same over (their sum + 1e-20) */
    MO_GATE_SOFTMAX    /* softmax over the selected scores */
} mo_gate_mode;
mo_tensor *mo_gate(mo_graph *g, mo_tensor *scores_NE, mo_tensor *ids_NK,
                   mo_gate_mode mode); /* w_NK, 0 where ids are -1 */
/* The same times a constant: DeepSeek's routed_scaling_factor. */
mo_tensor *mo_gate_scaled(mo_graph *g, mo_tensor *scores_NE, mo_tensor *ids_NK, mo_gate_mode mode,
                          double scale);
/* Two levels (Shazeer 2017, eq. 12): w_n,jK+i = w1_nj softmax_i(h_n,ids of block j), ids from mo_topk_within.
 */
mo_tensor *mo_gate_product(mo_graph *g, mo_tensor *w1_NJ, mo_tensor *h_NE, mo_tensor *ids_NK);
/* 1/K for every choice, 0 for padding; no gradient. */
mo_tensor *mo_gate_even(mo_graph *g, mo_tensor *ids_NK);

/* ---- dispatch, experts, combine ---- */

/* Rows of all tokens' choices, sorted by expert, within an expert by token (then choice). int32. R: the rows
 * that there is room for. */
typedef struct mo_dispatch_map {
    mo_tensor *offsets_E1; /* expert e owns rows offsets[e] .. offsets[e+1] */
    mo_tensor *token_R;    /* row -> token; -1 past the last row */
    mo_tensor *row_NK;     /* (token, choice) -> row; -1 where ids are -1 */
} mo_dispatch_map;
/* ids -1: no row. rows: R, at least the choices that are ever made (mo_capacity_rows, mo_expert_choice_rows);
 * 0 = N*K. No id may stand twice in a row of ids. */
mo_dispatch_map mo_dispatch(mo_graph *g, mo_tensor *ids_NK, int64_t E, int64_t rows);
/* xr_r = x_[token_r]; rows past the last are zero. */
mo_tensor *mo_gather(mo_graph *g, mo_tensor *x_ND, const mo_dispatch_map *map);
/* y_r = W_[expert of r] x_r; rows past the last are zero. W is [E, O, I]. */
mo_tensor *mo_experts(mo_graph *g, mo_tensor *x_RI, mo_tensor *w_EOI, const mo_dispatch_map *map);
/* mo_dropout of rows: the mask hangs on (seed, step, stream, token index within the step, choice, i),
 * wherever the row lies; rows past the last are zero. */
mo_tensor *mo_dropout_rows(mo_graph *g, mo_tensor *x_RI, const mo_dispatch_map *map, double p, int stream);
/* out_n = sum_k y_[row_nk]. */
mo_tensor *mo_combine(mo_graph *g, mo_tensor *y_RD, const mo_dispatch_map *map);
/* Weights in the order of rows, [R]: w_nk at row_nk, 0 past the last. Rows are weighed by mo_glu_weighted or
 * mo_scale_rows before the experts' last matrix, which is linear. */
mo_tensor *mo_row_weights(mo_graph *g, mo_tensor *w_NK, const mo_dispatch_map *map);

/* ---- what a router did, for metrics ---- */

typedef struct mo_router_view {
    mo_tensor *z_NE;     /* logits; NULL where there are none */
    mo_tensor *p_NE;     /* probabilities, which sum to 1 over the experts; NULL where there are none */
    mo_tensor *ids_NK;   /* the selection */
    mo_tensor *kept_NK;  /* what capacity left of it; may be ids_NK */
    mo_tensor *w_NK;     /* its weights */
    mo_tensor *tokens_N; /* negative: padding, which counts nowhere */
} mo_router_view;
/* Sums over the valid tokens; NaN where the router has no such thing. */
typedef enum mo_router_sum {
    MO_SUM_TOKENS,      /* 1 */
    MO_SUM_ENTROPY,     /* -sum_e p_e ln p_e, nats */
    MO_SUM_TOP1,        /* largest p */
    MO_SUM_TOP1_WEIGHT, /* largest weight of the selected */
    MO_SUM_Z,           /* (logsumexp z)^2 */
    MO_SUM_WANTED,      /* choices, */
    MO_SUM_KEPT,        /* those of them that were kept */
    MO_SUM_UNROUTED,    /* tokens of which none was kept */
    MO_ROUTER_SUMS
} mo_router_sum;
/* [E + MO_ROUTER_SUMS] MO_F64: how often ids has each expert, then the sums. No gradient. */
mo_tensor *mo_router_stats(mo_graph *g, const mo_router_view *view, int64_t E);

/* ---- balancing losses: [1] MO_F64, the sum over groups of (valid tokens of the group) * loss(group) ----
 * Divide by the valid tokens of the step to get the mean. group = tokens of one group: T for scope
 * `sequence`, N for `microbatch`. Padding (tokens_N negative) counts nowhere; a choice of -1 is none. ids are
 * those of the selection, before capacity. p_NE is over all experts, its rows sum to 1. */

/* Switch (Fedus 2021, eq. 4), for K choices: E/K * sum_e f_e P_e, f_e = assignments to e / tokens; 1 when
 * balanced. */
mo_tensor *mo_balance_switch(mo_graph *g, mo_tensor *p_NE, mo_tensor *ids_NK, mo_tensor *tokens_N,
                             int64_t group);
/* Hugging Face's Mixtral form: tokens of all layers pooled, E * sum_e (sum_k f_ke) P_e; K when balanced. */
mo_tensor *mo_balance_mixtral(mo_graph *g, int layers, mo_tensor *const *p_NE, mo_tensor *const *ids_NK,
                              mo_tensor *tokens_N, int64_t group);
/* Shazeer 2017 eq. 6-7 (and eq. 13, where w is of two levels): CV^2 of sum_n G(x_n)_e, population variance.
 */
mo_tensor *mo_balance_importance(mo_graph *g, mo_tensor *w_NK, mo_tensor *ids_NK, mo_tensor *tokens_N,
                                 int64_t E, int64_t group);
/* GShard (arXiv:2006.16668), algorithm 1, times E^2: E * sum_e f_e P_e with f of the first choices alone; 1
 * when balanced. The paper counts a first choice that finds its expert full as well. */
mo_tensor *mo_balance_gshard(mo_graph *g, mo_tensor *p_NE, mo_tensor *ids_NK, mo_tensor *tokens_N,
                             int64_t group);
/* What the load of noisy top-K gating is estimated from: clean and noisy logits, the noise's deviation, and
 * the K largest of h, all K of every token. */
typedef struct mo_noisy_choice {
    mo_tensor *z_NE, *h_NE, *sigma_NE, *ids_NK;
} mo_noisy_choice;
/* Shazeer 2017 eq. 8-10: CV^2 of sum_n Phi((z_ne - kth_excluding_e(h_n)) / sigma_ne); hard counts without
 * gradient where K = E or without noise (evaluation). */
mo_tensor *mo_balance_load(mo_graph *g, const mo_noisy_choice *choice, mo_tensor *tokens_N, int64_t group);
/* The same for two levels (Shazeer 2017, appendix B, eq. 14): CV^2 of Load_first,i Load_i(X_i)_j / |X_i|, X_i
 * the tokens that chose group i. first: over the G groups (of E/G neighbours each), J of them chosen; second:
 * over all E experts, ids group by group as mo_topk_within gives them. */
mo_tensor *mo_balance_load_two(mo_graph *g, const mo_noisy_choice *first, const mo_noisy_choice *second,
                               mo_tensor *tokens_N, int64_t group);
/* ST-MoE (Zoph 2022) eq. 5: mean over tokens of (logsumexp z)^2. */
mo_tensor *mo_z_loss(mo_graph *g, mo_tensor *z_NE, mo_tensor *tokens_N);

#ifdef __cplusplus
}
#endif
#endif
