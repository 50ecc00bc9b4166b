/* router_topk.c -- Mixtral's router (Jiang et al. 2024, arXiv:2401.04088): p = softmax(x Wg^T), the K largest
 * p; weights p_sel / sum p_sel with norm_topk_prob (Mixtral, DBRX, Qwen), p_sel without (OLMoE). */
#include "model/build.h"

static mo__routing build(mo__builder *b, int64_t layer, mo_tensor *x_ND)
{
    const mo_model_config *c = &b->model->config;
    mo__routing r = {0};
    r.z_NE = mo__router_logits(b, layer, x_ND);
    r.p_NE = mo_softmax(b->g, r.z_NE);
    r.ids_NK = mo_topk(b->g, r.p_NE, b->out->tokens, c->num_experts_per_tok);
    r.w_NK = mo_gate(b->g, r.p_NE, r.ids_NK, c->norm_topk_prob ? MO_GATE_NORMALISE : MO_GATE_SELECT);
    return r;
}

const mo__router mo__router_topk = {
    .info = {.name = "topk",
             .scores = "p = softmax(x Wg)",
             .selection = "the K largest p",
             .weights = "p_sel / sum p_sel with norm_topk_prob, else p_sel",
             .source = "Mixtral (Jiang et al. 2024, arXiv:2401.04088, section 2.1); not normalised: OLMoE "
                       "(Muennighoff et al. 2024, arXiv:2409.02060)",
             .about = "The router of Mixtral, DBRX (4 of 16 experts), DeepSeekMoE, Qwen and OLMoE: a softmax "
                      "over the experts, of which each token takes the K largest. It needs a balancing loss "
                      "(balance.switch, balance.mixtral or balance.sequence) to keep all experts in use. "
                      "With K = 1 the weights must not be normalised, or the router has no gradient.",
             .traits = MO_ROUTER_SCORES | MO_ROUTER_CAPACITY,
             .normalises = MO_CHOICE_DEFAULT},
    .declare = mo__router_logits_declare,
    .build = build};
