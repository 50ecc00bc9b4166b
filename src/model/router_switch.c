/* router_switch.c -- Switch routing (Fedus et al. 2021, arXiv:2101.03961, section 2.1, eq. 1-2): p =
 * softmax(x Wg^T), the largest p; its weight is p itself, so that the router has a gradient with one expert
 * too. */
#include "model/build.h"

static mo__routing build(mo__builder *b, int64_t layer, mo_tensor *x_ND)
{
    mo__routing r = {0};
    r.z_NE = mo__router_logits(b, layer, x_ND);
    r.p_NE = mo_softmax(b->g, r.z_NE);
    r.ids_NK = mo_topk(b->g, r.p_NE, b->out->tokens, 1);
    r.w_NK = mo_gate(b->g, r.p_NE, r.ids_NK, MO_GATE_SELECT);
    return r;
}

const mo__router mo__router_switch = {
    .info =
        {.name = "switch",
         .scores = "p = softmax(x Wg)",
         .selection = "the largest p",
         .weights = "p of the selected, not normalised",
         .source = "Switch Transformer (Fedus et al. 2021, arXiv:2101.03961, section 2.1, eq. 1-2)",
         .about =
             "One expert for each token, which is the cheapest. What it gives is multiplied by its "
             "probability, and so the router learns; normalised, the weight would always be 1. In the paper "
             "balance.switch is 0.01 in each layer (0.01 times the number of layers here), capacity_factor 1 "
             "to 1.25, so that what is too much passes by the residual, and router_jitter_noise 0.01.",
         .traits = MO_ROUTER_SCORES | MO_ROUTER_CAPACITY,
         .experts = 1,
         .normalises = MO_CHOICE_FALSE},
    .declare = mo__router_logits_declare,
    .build = build};
