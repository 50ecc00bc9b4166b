/* router_soft.c -- a mixture of all experts (Jacobs et al. 1991, "Adaptive Mixtures of Local Experts", Neural
 * Computation 3, section 1): y = sum_e p_e FFN_e(x), p = softmax(x Wg^T). */
#include "model/build.h"

static mo__routing build(mo__builder *b, int64_t layer, mo_tensor *x_ND)
{
    mo__routing r = {0};
    r.z_NE = mo__router_logits(b, layer, x_ND);
    r.p_NE = mo_softmax(b->g, r.z_NE);
    r.ids_NK = mo_expert_choice(b->g, r.p_NE, b->out->tokens, (double)b->model->config.num_local_experts,
                                b->out->sequence_length);
    r.w_NK = r.p_NE;
    return r;
}

const mo__router mo__router_soft = {
    .info = {.name = "soft",
             .scores = "p = softmax(x Wg)",
             .selection = "all experts",
             .weights = "p",
             .source = "Jacobs, Jordan, Nowlan and Hinton 1991, Neural Computation 3(1), 79-87",
             .about = "The first mixture of experts: every expert works on every token, and a softmax blends "
                      "what they say. It costs as much as a dense block of the experts' joint width, and "
                      "shows what sparse routers save and what they give up for it.",
             .traits = MO_ROUTER_SCORES | MO_ROUTER_EVEN,
             .experts = -1,
             .normalises = MO_CHOICE_TRUE},
    .declare = mo__router_logits_declare,
    .build = build};
