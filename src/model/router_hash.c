/* router_hash.c -- experts by a fixed hash of the token's id (Roller et al. 2021, arXiv:2106.04426): nothing
 * is learned, and every expert of a token has the same weight. */
#include "model/build.h"

static mo__routing build(mo__builder *b, int64_t layer, mo_tensor *x_ND)
{
    (void)x_ND;
    const mo_model_config *c = &b->model->config;
    mo__routing r = {0};
    r.ids_NK = mo_hash_choice(b->g, b->out->tokens, c->num_local_experts, c->num_experts_per_tok, (int)layer);
    r.w_NK = mo_gate_even(b->g, r.ids_NK);
    return r;
}

const mo__router mo__router_hash = {
    .info = {.name = "hash",
             .scores = "none",
             .selection = "K experts that a fixed hash of (layer, token id) draws",
             .weights = "1 / K each",
             .source = "Hash layers (Roller et al. 2021, arXiv:2106.04426), random hash",
             .about = "A control: each token id has its experts once and for all, in each layer others. No "
                      "parameters, no gradient, no balancing loss; its load is as uneven as the frequencies "
                      "of the token ids. The same in training, evaluation and generation. A router that "
                      "learns should beat it.",
             .traits = MO_ROUTER_CAPACITY,
             .normalises = MO_CHOICE_TRUE},
    .build = build};
