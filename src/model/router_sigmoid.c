/* router_sigmoid.c -- DeepSeek-V3's router (arXiv:2412.19437, eq. 13-16): s = sigmoid(x Wg^T), the K largest
 * s + b, b a bias of each expert that only selection sees and that is moved once a step (Wang et al. 2024,
 * arXiv:2408.15664). With groups, of the experts of the topk_group groups whose two largest s + b have the
 * largest sum. Weights s_sel, over their sum with norm_topk_prob, times routed_scaling_factor. The
 * probabilities of losses and metrics are s / sum s (eq. 19-20), and eq. 18 counts the K largest s. */
#include "model/build.h"

static mo_status declare(mo_model *m, int64_t layer)
{
    MO_TRY(mo__router_logits_declare(m, layer));
    return mo__declare_buffer(m, layer, MO__BIAS_NAME, 1, &m->config.num_local_experts);
}

static mo__routing build(mo__builder *b, int64_t layer, mo_tensor *x_ND)
{
    const mo_model_config *c = &b->model->config;
    int64_t K = c->num_experts_per_tok;
    mo__routing r = {0};
    r.z_NE = mo__router_logits(b, layer, x_ND);
    mo_tensor *s_NE = mo_act(b->g, r.z_NE, MO_ACT_KIND_SIGMOID);
    r.p_NE = mo_row_shares(b->g, s_NE);
    r.ids_NK = mo_topk_limited(b->g, s_NE, mo__layer_param(b, layer, MO__BIAS_NAME), b->out->tokens, K,
                               c->n_group, c->topk_group);
    if (b->options->kind == MO_GRAPH_TRAIN && b->options->balance.sequence > 0)
        r.plain_NK = mo_topk(b->g, s_NE, b->out->tokens, K);
    r.w_NK = mo_gate_scaled(b->g, s_NE, r.ids_NK, c->norm_topk_prob ? MO_GATE_NORMALISE : MO_GATE_SELECT,
                            c->routed_scaling_factor);
    return r;
}

const mo__router mo__router_sigmoid = {
    .info =
        {.name = "sigmoid",
         .scores = "s = sigmoid(x Wg); p = s / sum s for losses and metrics",
         .selection = "the K largest s + b, of the topk_group groups with the largest sum of their two best",
         .weights = "s_sel / sum s_sel with norm_topk_prob, else s_sel; times routed_scaling_factor",
         .source = "DeepSeek-V3 (arXiv:2412.19437, eq. 13-16, section 2.1.2); the bias: Wang et al. 2024, "
                   "arXiv:2408.15664",
         .about =
             "The router of DeepSeek-V3, balanced without a loss: after each step the bias b of an expert "
             "with more than its share of the tokens falls by balance.bias_update_rate (0.001 in the paper), "
             "and that of one with less rises. b decides who is selected and never how much they count, so "
             "balance costs the gradient nothing. balance.sequence, with a small coefficient, keeps single "
             "sequences from extremes. n_group and topk_group keep a token's experts in a few groups.",
         .traits = MO_ROUTER_SCORES | MO_ROUTER_CAPACITY | MO_ROUTER_GROUPS | MO_ROUTER_BIAS,
         .normalises = MO_CHOICE_DEFAULT},
    .declare = declare,
    .build = build};
