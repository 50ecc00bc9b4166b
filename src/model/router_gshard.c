/* router_gshard.c -- GShard's top-2 gating (Lepikhin et al. 2020, arXiv:2006.16668, section 2.2, algorithm
 * 1): p = softmax(x Wg^T), the two largest p, weights p1 / (p1 + p2) and p2 / (p1 + p2). In training the
 * second choice stays with probability min(1, 2 w2); where it does not, w1 is what it was. */
#include "model/build.h"

static mo__routing build(mo__builder *b, int64_t layer, mo_tensor *x_ND)
{
    mo__routing r = {0};
    r.z_NE = mo__router_logits(b, layer, x_ND);
    r.p_NE = mo_softmax(b->g, r.z_NE);
    mo_tensor *both_N2 = mo_topk(b->g, r.p_NE, b->out->tokens, 2);
    r.w_NK = mo_gate(b->g, r.p_NE, both_N2, MO_GATE_NORMALISE);
    r.ids_NK = mo_keep_second(b->g, both_N2, r.w_NK, (int)layer);
    return r;
}

const mo__router mo__router_gshard = {
    .info =
        {.name = "gshard",
         .scores = "p = softmax(x Wg)",
         .selection = "the two largest p; in training the second stays with probability min(1, 2 w2)",
         .weights = "w1 = p1 / (p1 + p2), w2 = p2 / (p1 + p2), also where the second is dropped",
         .source = "GShard (Lepikhin et al. 2020, arXiv:2006.16668, section 2.2, algorithm 1)",
         .about =
             "Two experts for each token, of which the second is left out at random where it would count for "
             "little, which makes room in the experts for those who need it. In evaluation both stay. The "
             "paper has capacity_factor 1 (2N/E tokens an expert) over groups of tokens, second choices "
             "queueing behind all first ones, and balance.gshard.",
         .traits = MO_ROUTER_SCORES | MO_ROUTER_CAPACITY,
         .experts = 2,
         .normalises = MO_CHOICE_TRUE},
    .declare = mo__router_logits_declare,
    .build = build};
